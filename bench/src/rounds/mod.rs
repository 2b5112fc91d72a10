//! The order of a measurement: in each round every peer once, so that what the machine does meanwhile hits all of them
//! alike; then the table.

mod columns;

use std::io::Write;
use std::path::Path;

use crate::peers::{Child, Peer, install, version};
use crate::progress::Progress;
use crate::report::{Column, Figures, Machine, Results, Sample, growth as grown, table};
use crate::scenario::{fan_out, growth, idle, polls, savings, sends, storm};

use crate::Failure;
use crate::options::{Options, cores};

/// Who can relay messages.
const RELAYS: &[Peer] =
    &[Peer::Floor, Peer::Tidings, Peer::Bun, Peer::Nchan, Peer::NodeWs, Peer::SocketIo, Peer::AxumBroadcast];

/// Fan-out, case by case.
pub(crate) fn fan_out(options: &Options) -> Result<(), Failure> {
    let options = &options.brief();
    let peers = chosen(options, RELAYS);
    let cases = fan_out::CASES.into_iter().filter(|(name, _)| options.wants(name));
    let cases: Vec<_> = cases.map(|(name, case)| (name.to_owned(), case.pinned, case)).collect();
    play("fan-out", options, &peers, columns::FAN_OUT, &cases, |case, peer, options, progress| {
        fan_out::run(*case, peer, options, progress)
    })
}

/// Idle connections, all in one room.
pub(crate) fn idle(options: &Options) -> Result<(), Failure> {
    let peers = chosen(options, RELAYS);
    let case = idle::Case { connections: options.connections, rooms: 1 };
    let cases = [(format!("{} connections", case.connections), false, case)];
    play("idle", options, &peers, columns::IDLE, &cases, |case, peer, options, progress| {
        idle::run(*case, peer, options, progress)
    })
}

/// Unchanged polls.
pub(crate) fn polls(options: &Options) -> Result<(), Failure> {
    let peers = chosen(options, &[Peer::Floor, Peer::Hyper, Peer::Tidings]);
    let rate = options.rate.unwrap_or(12_000.0);
    let cases = [(format!("{rate} polls/s"), true, rate)];
    play("polls", options, &peers, columns::POLLS, &cases, |rate, peer, options, progress| {
        polls::run(*rate, peer, options, progress)
    })
}

/// Sends.
pub(crate) fn sends(options: &Options) -> Result<(), Failure> {
    let peers = chosen(options, &[Peer::Tidings, Peer::TidingsPostgres]);
    let Options { writers, outstanding, rate, .. } = *options;
    let cases = [("one room", 1), ("20 rooms", 20)].into_iter().filter(|(name, _)| options.wants(name));
    let case =
        |(name, rooms): (&str, usize)| (name.to_owned(), false, sends::Case { rooms, writers, outstanding, rate });
    let cases: Vec<_> = cases.map(case).collect();
    play("sends", options, &peers, columns::SENDS, &cases, |case, peer, options, progress| {
        sends::run(*case, peer, options, progress)
    })
}

/// Everyone comes back at once.
pub(crate) fn storm(options: &Options) -> Result<(), Failure> {
    let peers = chosen(options, &[Peer::Tidings, Peer::TidingsPostgres]);
    let case = storm::Case { clients: options.clients, per_second: options.rate.unwrap_or(100.0) };
    let cases = [(format!("{} clients", case.clients), false, case)];
    play("storm", options, &peers, columns::STORM, &cases, |case, peer, options, progress| {
        storm::run(*case, peer, options, progress)
    })
}

/// Polls by meta against reading everything each time.
pub(crate) fn savings(options: &Options) -> Result<(), Failure> {
    let peers = chosen(options, &[Peer::TidingsPostgres]);
    let cases = [("500 rooms", 500, false), ("500 rooms", 500, true), ("one room", 1, false), ("one room", 1, true)];
    let cases = cases.map(|(name, rooms, by_meta)| {
        let how = if by_meta { "meta" } else { "the whole list" };
        (format!("{name}, {how}"), false, savings::Case { rooms, by_meta })
    });
    play("savings", &options.once(), &peers, columns::SAVINGS, &cases, |case, peer, options, progress| {
        savings::run(*case, peer, options, progress)
    })
}

/// How cost grows.
pub(crate) fn growth(options: &Options) -> Result<(), Failure> {
    let fan_out = |name: &str, cases: &[(&str, fan_out::Case)], peers: &[Peer]| {
        let cases: Vec<_> = cases.iter().map(|(name, case)| ((*name).to_owned(), case.pinned, *case)).collect();
        let peers = chosen(options, peers);
        play(&format!("growth-{name}"), options, &peers, columns::FAN_OUT, &cases, |case, peer, options, progress| {
            fan_out::run(*case, peer, options, progress)
        })
    };
    if options.wants("subscribers") {
        fan_out("subscribers", &growth::SUBSCRIBERS, &[Peer::Floor, Peer::Tidings])?;
    }
    if options.wants("rooms") {
        fan_out("rooms", &growth::ROOMS, &[Peer::Floor, Peer::Tidings])?;
    }
    if options.wants("instances") {
        fan_out("instances", &growth::INSTANCES, &[Peer::TidingsPostgres])?;
    }
    if options.wants("history") {
        let peers = chosen(options, &[Peer::Tidings, Peer::TidingsPostgres]);
        let cases = [100, options.messages].map(|count| (format!("{count} messages"), false, count));
        play("growth-history", &options.once(), &peers, columns::HISTORY, &cases, |count, peer, options, progress| {
            growth::history::run(*count, peer, options, progress)
        })?;
    }
    if options.wants("watched") {
        let peers = chosen(options, &[Peer::TidingsPostgres]);
        let cases = [1_000, 10_000, 100_000].map(|rooms| (format!("{rooms} rooms"), false, rooms));
        play("growth-watched", &options.once(), &peers, columns::WATCHED, &cases, |rooms, peer, options, progress| {
            growth::watched::run(*rooms, peer, options, progress)
        })?;
    }
    Ok(())
}

/// All scenarios that have results, as tables.
pub(crate) fn tables(results: &Path) -> Result<(), Failure> {
    for (scenario, columns) in columns::ALL {
        if results.join(format!("{scenario}.jsonl")).is_file() {
            let (machine, samples) = Results::read(results, scenario)?;
            print(&format!("{scenario}: {}, {} cores, Linux {}\n", machine.processor, machine.cores, machine.kernel));
            print(&shown(scenario, &samples, columns));
        }
    }
    Ok(())
}

/// One after the other.
pub(crate) fn all(options: &Options) -> Result<(), Failure> {
    // What is missing is told now, and not in an hour.
    let everyone = [RELAYS, &[Peer::Hyper, Peer::TidingsPostgres]].concat();
    let peers = if options.peers.is_empty() { &everyone } else { &options.peers };
    peers.iter().try_for_each(|peer| install(*peer, options))?;
    fan_out(options)?;
    idle(options)?;
    polls(options)?;
    sends(options)?;
    storm(options)?;
    savings(options)?;
    growth(options)
}

/// What was asked for, as far as the scenario can be played with it; its default if nothing was.
fn chosen(options: &Options, default: &[Peer]) -> Vec<Peer> {
    if options.peers.is_empty() {
        return default.to_vec();
    }
    let relays = default.contains(&Peer::Bun);
    let able = |peer: &&Peer| default.contains(peer) || peer.is_tidings() || (relays && **peer != Peer::Hyper);
    options.peers.iter().filter(able).copied().collect()
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
    peers.iter().try_for_each(|peer| install(*peer, options))?;
    let versions = peers.iter().filter_map(|peer| Some((peer.name(), version(*peer, options)?))).collect();
    let machine = Machine::look(versions);
    let mut results = if options.smoke { Results::none() } else { Results::new(&options.results, scenario, &machine)? };
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
    print(&shown(scenario, &results.samples, columns));
    check(options, &results.samples)
}

/// Peers are compared case by case, growth over its cases.
fn shown(scenario: &str, samples: &[Sample], columns: &[Column]) -> String {
    let over_cases = scenario.starts_with("growth") || scenario == "savings";
    if over_cases { grown(samples, columns) } else { table(samples, columns) }
}

/// Puts the load on its core, and keeps the other awake.
fn prepare(options: &Options) -> Result<Option<Child>, Failure> {
    let pins = options.pins();
    let own = std::process::id().to_string();
    let all = format!("0-{}", cores() - 1);
    let wanted = pins.client.unwrap_or(&all);
    drop(std::process::Command::new("taskset").args(["-cp", wanted, &own]).output());
    let Some(server) = pins.server.filter(|_| pins.awake) else { return Ok(None) };
    let program = std::env::current_exe()?;
    Ok(Some(Child::new(Path::new(&program)).pinned(Some(server)).idle().start(&["serve", "spin"])?))
}

/// With `--smoke` something must have been delivered, and nothing lost, doubled, reordered, refused or closed.
fn check(options: &Options, samples: &[Sample]) -> Result<(), Failure> {
    const WRONG: [&str; 5] = ["lost", "doubled", "reordered", "refused", "closed"];
    for sample in samples.iter().filter(|_| options.smoke) {
        if sample.figures.get("deliveries_per_s").is_none_or(|rate| rate == 0.0) {
            return Err(format!("{} {}: nothing was delivered", sample.case, sample.peer).into());
        }
        if let Some(wrong) = WRONG.iter().find(|name| sample.figures.get(name).is_some_and(|count| count > 0.0)) {
            return Err(format!("{} {}: {wrong}: {:?}", sample.case, sample.peer, sample.figures).into());
        }
    }
    Ok(())
}

/// Says a result; whoever stops reading it has read enough.
fn print(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}
