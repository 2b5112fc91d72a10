//! A rolling restart, as on every deployment: clients that hand over do not notice it, and where they go to meets no herd.

mod client;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Few;
use crate::support::{Instance, Random, Wire, make_room, seed, within};
use client::{Client, Phase, Place, Report, Sent};

const INSTANCES: usize = 3;
const ROUNDS: usize = 20;
const ROOMS: usize = 3;
const CLIENTS: usize = 60;
/// Between two messages of a client: 20 a second in each room.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that a client that hands over may be without what is written, in 99 of 100 cases.
const GAP: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_doubles_delays_and_refuses_nothing() {
    let mut few = Few::start(INSTANCES).await;
    let (phase, rest) = watch::channel(Phase::Running);
    let place = place(&few).await;
    let crowd = begin(&place, &rest).await;
    let mut stops = Vec::new();
    for round in 0..ROUNDS {
        let instance = &mut few.instances[round % INSTANCES];
        let begin = Instant::now();
        instance.signal("TERM");
        let (status, log) = instance.ended();
        stops.push(begin.elapsed());
        assert_eq!(status.code(), Some(0), "round {round}: {log}");
        assert!(!log.contains("ERROR"), "round {round}: {log}");
        instance.start().await;
        assert!(crowd.iter().all(|client| !client.is_finished()), "round {round}: a client has failed");
    }
    phase.send_replace(Phase::Quiet);
    within(Duration::from_secs(20), "every message is answered", || async {
        (place.under_way.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    phase.send_replace(Phase::Until(place.heads.lock().unwrap().clone()));
    let mut reports = Vec::new();
    for client in crowd {
        let report = tokio::time::timeout(Duration::from_secs(20), client).await;
        reports.push(report.expect("a client does not reach the end").expect("a client"));
    }
    eprintln!(
        "stops took {:?} at most, {:?} in the middle",
        stops.iter().max().unwrap(),
        percentile(stops.clone(), 50)
    );
    check_messages(&few, &reports).await;
    check_handovers(&reports);
}

async fn place(few: &Few) -> Arc<Place> {
    let users: Vec<String> = (0..CLIENTS).map(|n| format!("user{n}")).collect();
    for user in &users {
        few.api(0, user).get("/api/session").await.ok(200);
    }
    for room in 0..ROOMS {
        let members: Vec<&str> = users.iter().skip(room).step_by(ROOMS).map(String::as_str).collect();
        make_room(&few.api(0, members[0]), &format!("room{room}"), "GROUP", &members[1..]).await;
    }
    Arc::new(Place {
        addresses: few.instances.iter().map(Instance::address).collect(),
        apis: (0..INSTANCES).map(|n| few.api(n, "user0")).collect(),
        pause: PAUSE,
        under_way: AtomicUsize::new(0),
        heads: Mutex::default(),
    })
}

async fn begin(place: &Arc<Place>, phase: &watch::Receiver<Phase>) -> Vec<tokio::task::JoinHandle<Report>> {
    let seed = seed();
    let mut crowd = Vec::new();
    for n in 0..CLIENTS {
        let (names, random) = ((format!("user{n}"), format!("room{}", n % ROOMS)), Random::new(seed, n as u64));
        // So that each room has readers everywhere.
        let instance = n / ROOMS % INSTANCES;
        crowd.push(Client::begin(place.clone(), phase.clone(), random, names, instance).await);
    }
    // They write in turns, so that a room is silent for no longer than it has to be.
    let (begin, number) = (Instant::now(), u32::try_from(CLIENTS).unwrap());
    let turns = (0..number).map(|n| begin + PAUSE * n / number);
    crowd.into_iter().zip(turns).map(|(client, first)| tokio::spawn(client.run(first))).collect()
}

/// Whatever was acknowledged is in every copy, once and in its place, and every copy is what the table holds.
async fn check_messages(few: &Few, reports: &[Report]) {
    let mut copies: HashMap<&str, HashMap<&str, u64>> = HashMap::new();
    for report in reports {
        let owner = few.api(0, &report.user);
        report.log.assert_equals_server(&owner).await;
        let copy = report.log.messages().map(|m| (m["id"].as_str().unwrap(), m["seq"].as_u64().unwrap()));
        copies.insert(&report.room, copy.collect());
    }
    let (mut all, mut again) = (0, 0);
    for report in reports {
        let mut sent: Vec<&Sent> = report.sent.iter().collect();
        sent.sort_by_key(|sent| sent.asked);
        for message in &sent {
            let held = copies[report.room.as_str()].get(message.id.as_str());
            assert_eq!(held, Some(&message.seq), "{message:?} was acknowledged");
            again += usize::from(message.tries > 1);
        }
        for pair in sent.windows(2).filter(|pair| pair[0].told < pair[1].asked) {
            assert!(pair[0].seq < pair[1].seq, "{pair:?} are in another order than they were sent");
        }
        all += sent.len();
    }
    eprintln!("{all} messages acknowledged, {again} of them at the second attempt");
    assert!(all > ROUNDS * CLIENTS / 2, "only {all} messages: this proves little");
}

/// Nobody was without news for long, and nobody came late.
fn check_handovers(reports: &[Report]) {
    let (mut moved, mut stayed, mut late, mut too_late) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for report in reports {
        for handover in &report.handovers {
            let (from, to) = (handover.told, handover.left + GAP);
            moved.push(longest_gap(&report.arrivals, from, to));
            // Those in the same room who stayed meanwhile: what was not written, or the machine held up, they lack as well.
            let others = reports.iter().filter(|other| other.room == report.room && stays(other, from, to));
            stayed.extend(others.map(|other| longest_gap(&other.arrivals, from, to)).max());
            late.push(handover.began.saturating_duration_since(handover.moment));
            too_late += usize::from(handover.too_late);
        }
    }
    let count = moved.len();
    let [moved, stayed, late] =
        [moved, stayed, late].map(|all| [50, 99, 100].map(|part| percentile(all.clone(), part)));
    let said = format!(
        "{count} handovers, {too_late} too late; half, 99 %, all of them: gaps up to {moved:?}, of those who stayed up to \
         {stayed:?}, later than told by {late:?}"
    );
    eprintln!("{said}");
    assert!(count >= ROUNDS * CLIENTS / INSTANCES / 2, "too few: {said}");
    // On a machine so busy that those who stayed wait for longer, handing over adds little to it.
    assert!(moved[1] <= GAP.max(stayed[1] + GAP / 4), "{said}");
    assert!(too_late * 100 <= count, "{said}");
}

fn stays(report: &Report, from: Instant, to: Instant) -> bool {
    report.handovers.iter().all(|handover| handover.left < from || handover.told > to)
}

/// The longest time between two arrivals that touches this one.
fn longest_gap(arrivals: &[Instant], from: Instant, to: Instant) -> Duration {
    let touching = arrivals.windows(2).filter(|pair| pair[1] >= from && pair[0] <= to);
    touching.map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
}

fn percentile(mut all: Vec<Duration>, part: usize) -> Duration {
    all.sort();
    all.get((all.len() * part).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_leave_an_instance_come_to_the_others_evenly() {
    const HERD: u32 = 300;
    let mut few = Few::start(2).await;
    let [from, to] = [0, 1].map(|n: usize| few.instances[n].address());
    let here = Arc::new(AtomicU32::new(0));
    let mut leaving = JoinSet::new();
    for n in 0..HERD {
        let here = here.clone();
        leaving.spawn(async move {
            let user = format!("user{}", n % 20);
            let (mut old, _) = Wire::open(from, &user).await.expect("it takes us");
            here.fetch_add(1, Ordering::SeqCst);
            let drain = old.next(Duration::from_mins(1)).await.expect("a frame");
            assert_eq!(drain["type"], "drain", "{drain}");
            let wait = Duration::from_millis(drain["reconnectInMs"].as_u64().expect("when to come back"));
            let moment = Instant::now() + wait;
            tokio::time::sleep_until(moment.into()).await;
            let began = Instant::now();
            let (_new, _) = Wire::open(to, &user).await.expect("the other takes us");
            (moment, began)
        });
    }
    within(Duration::from_secs(30), "all are here", || async { (here.load(Ordering::SeqCst) == HERD).then_some(()) })
        .await;
    few.instances[0].signal("TERM");
    let (all, stall) = tokio::join!(leaving.join_all(), longest_stall(Duration::from_secs(3)));
    let (status, log) = few.instances[0].ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(&format!("gone={HERD} closed=0")), "not all have left by themselves: {log}");
    let (told, came): (Vec<Instant>, Vec<Instant>) = all.into_iter().unzip();
    let [told, came] = [told, came].map(|mut moments| {
        moments.sort();
        moments
    });
    let even = f64::from(HERD) / (*told.last().unwrap() - told[0]).as_secs_f64();
    let [planned, peak] = [&told, &came].map(|moments| f64::from(busiest_second(moments)));
    let said =
        format!("even: {even:.1}/s, told: at most {planned}, came: at most {peak}; a timer was late by {stall:?}");
    eprintln!("{said}");
    assert!(planned <= 1.2 * even, "{said}");
    // Whom the machine holds up comes together with who comes then.
    assert!(peak <= (1.2 + stall.as_secs_f64()) * even, "{said}");
}

fn busiest_second(moments: &[Instant]) -> u32 {
    let within = |n: usize| moments[n..].partition_point(|moment| *moment < moments[n] + Duration::from_secs(1));
    u32::try_from((0..moments.len()).map(within).max().unwrap_or(0)).unwrap()
}

/// By how much a timer is late at most, in so much time.
async fn longest_stall(time: Duration) -> Duration {
    let (end, step) = (Instant::now() + time, Duration::from_millis(5));
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        let due = Instant::now() + step;
        tokio::time::sleep_until(due.into()).await;
        longest = longest.max(due.elapsed());
    }
    longest
}
