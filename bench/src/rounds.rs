//! The order of a measurement: in each round every peer once, so that what the machine does meanwhile hits all of them
//! alike; then the table.

use std::path::Path;

use crate::peers::{Child, Peer, version};
use crate::progress::Progress;
use crate::report::{Column, Figures, Machine, Results, Sample, table};
use crate::scenario::{fan_out, idle, polls, sends};
use crate::{Failure, Options};

/// Who can relay messages.
const RELAYS: &[Peer] =
    &[Peer::Floor, Peer::Tidings, Peer::Bun, Peer::Nchan, Peer::NodeWs, Peer::SocketIo, Peer::AxumBroadcast];

const FAN_OUT: &[Column] = &[
    Column::spread("CPU µs/delivery", "cpu_us"),
    Column::times("× floor", "cpu_us", "floor"),
    Column::median("of it user", "user_us"),
    Column::median("µs/message with nobody there", "apart_us"),
    Column::spread("delivery alone", "deliver_us"),
    Column::times("× floor", "deliver_us", "floor"),
    Column::median("deliveries/s", "deliveries_per_s"),
    Column::median("p50 ms", "p50_ms"),
    Column::median("p99 ms", "p99_ms"),
    Column::median("p99.9 ms", "p999_ms"),
    Column::median("server cores", "server_cores"),
    Column::median("client cores", "client_cores"),
    Column::most("lost", "lost"),
    Column::most("doubled", "doubled"),
    Column::most("reordered", "reordered"),
    Column::most("refused", "refused"),
    Column::most("closed", "closed"),
];

/// Fan-out, case by case.
pub(crate) fn fan_out(options: &Options) -> Result<(), Failure> {
    let peers = or(&options.peers, RELAYS);
    let cases = fan_out::CASES.into_iter().filter(|case| options.wants(case.name));
    let cases: Vec<_> = cases.map(|case| (case.name.to_owned(), case.pinned, case)).collect();
    play("fan-out", options, &peers, FAN_OUT, &cases, |case, peer, options, progress| {
        fan_out::run(*case, peer, options, progress)
    })
}

const IDLE: &[Column] = &[
    Column::spread("bytes/connection", "bytes_per_connection"),
    Column::median("connects/s", "connects_per_s"),
    Column::spread("CPU µs/connect", "connect_us"),
    Column::median("again: connects/s", "again_per_s"),
    Column::median("CPU µs/connect", "again_us"),
    Column::median("CPU µs/s when idle", "idle_us_per_s"),
    Column::median("MiB at rest", "at_rest_mib"),
    Column::median("client cores", "client_cores"),
    Column::most("closed", "closed"),
];

const POLLS: &[Column] = &[
    Column::spread("CPU µs/poll", "cpu_us"),
    Column::times("× hyper", "cpu_us", "hyper"),
    Column::times("× floor", "cpu_us", "floor"),
    Column::median("of it user", "user_us"),
    Column::median("answers/s", "answers_per_s"),
    Column::median("p50 ms", "p50_ms"),
    Column::median("p99 ms", "p99_ms"),
    Column::median("p99.9 ms", "p999_ms"),
    Column::median("server cores", "server_cores"),
    Column::median("client cores", "client_cores"),
    Column::most("lost", "lost"),
    Column::most("not 304", "refused"),
    Column::most("closed", "closed"),
];

const SENDS: &[Column] = &[
    Column::spread("acknowledged/s", "acknowledged_per_s"),
    Column::median("p50 ms", "p50_ms"),
    Column::median("p99 ms", "p99_ms"),
    Column::median("longest ms", "longest_ms"),
    Column::spread("CPU µs/send", "cpu_us"),
    Column::median("databases' µs/send", "databases_us"),
    Column::median("client cores", "client_cores"),
    Column::most("lost", "lost"),
    Column::most("refused", "refused"),
];

/// Idle connections, all in one room.
pub(crate) fn idle(options: &Options) -> Result<(), Failure> {
    let peers = or(&options.peers, RELAYS);
    let case = idle::Case { connections: options.connections, rooms: 1 };
    let cases = [(format!("{} connections", case.connections), false, case)];
    play("idle", options, &peers, IDLE, &cases, |case, peer, options, progress| {
        idle::run(*case, peer, options, progress)
    })
}

/// Unchanged polls.
pub(crate) fn polls(options: &Options) -> Result<(), Failure> {
    let peers = or(&options.peers, &[Peer::Floor, Peer::Hyper, Peer::Tidings]);
    let rate = options.rate.unwrap_or(12_000.0);
    let cases = [(format!("{rate} polls/s"), true, rate)];
    play("polls", options, &peers, POLLS, &cases, |rate, peer, options, progress| {
        polls::run(*rate, peer, options, progress)
    })
}

/// Sends.
pub(crate) fn sends(options: &Options) -> Result<(), Failure> {
    let peers = or(&options.peers, &[Peer::Tidings, Peer::TidingsPostgres]);
    let Options { writers, outstanding, rate, .. } = *options;
    let cases = [("one room", 1), ("20 rooms", 20)].into_iter().filter(|(name, _)| options.wants(name));
    let case =
        |(name, rooms): (&str, usize)| (name.to_owned(), false, sends::Case { rooms, writers, outstanding, rate });
    let cases: Vec<_> = cases.map(case).collect();
    play("sends", options, &peers, SENDS, &cases, |case, peer, options, progress| {
        sends::run(*case, peer, options, progress)
    })
}

fn or(given: &[Peer], default: &[Peer]) -> Vec<Peer> {
    if given.is_empty() { default.to_vec() } else { given.to_vec() }
}

/// Plays cases with all peers, round by round.
fn play<C>(
    scenario: &str,
    options: &Options,
    peers: &[Peer],
    columns: &[Column],
    cases: &[(String, bool, C)],
    mut run: impl FnMut(&C, Peer, &Options, &mut Progress) -> Result<Figures, Failure>,
) -> Result<(), Failure> {
    let versions = peers.iter().filter_map(|peer| Some((peer.name(), version(*peer, options)?))).collect();
    let machine = Machine::look(versions);
    let mut results = Results::new(&options.results, scenario, &machine)?;
    let mut progress = Progress::new();
    for (name, pinned, case) in cases {
        let options = options.pinned_unless_told(*pinned);
        let _awake = prepare(&options)?;
        for round in 1..=options.rounds {
            for peer in peers {
                progress.begin(format!("{scenario} {name}, round {round} of {}, {}:", options.rounds, peer.name()));
                let figures = run(case, *peer, &options, &mut progress)?;
                let (scenario, case, peer) = (scenario.to_owned(), name.clone(), peer.name());
                results.add(Sample { scenario, case, peer, round, figures })?;
            }
        }
    }
    progress.clear();
    print(&table(&results.samples, columns));
    check(options, &results.samples)
}

/// Puts the load on its core, and keeps the other awake.
fn prepare(options: &Options) -> Result<Option<Child>, Failure> {
    let pins = options.pins();
    let own = std::process::id().to_string();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = format!("0-{}", cores.max(2) - 1);
    let wanted = pins.client.unwrap_or(&all);
    drop(std::process::Command::new("taskset").args(["-cp", wanted, &own]).output());
    let Some(server) = pins.server.filter(|_| pins.awake) else { return Ok(None) };
    let program = std::env::current_exe()?;
    Ok(Some(Child::new(Path::new(&program)).pinned(Some(server)).idle().start(&["serve", "spin"])?))
}

/// With `--smoke` nothing may be lost, doubled, reordered, refused or closed.
fn check(options: &Options, samples: &[Sample]) -> Result<(), Failure> {
    const WRONG: [&str; 5] = ["lost", "doubled", "reordered", "refused", "closed"];
    for sample in samples.iter().filter(|_| options.smoke) {
        if let Some(wrong) = WRONG.iter().find(|name| sample.figures.get(name).is_some_and(|count| count > 0.0)) {
            return Err(format!("{} {}: {wrong}: {:?}", sample.case, sample.peer, sample.figures).into());
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(text: &str) {
    println!("{text}");
}
