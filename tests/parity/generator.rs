//! Streams of execs made to go wrong: groups that differ in one value, execs at the edges of windows,
//! deliveries out of order and twice, clocks that are set.

use super::commands;
use super::oracle::Delivery;
use super::random::Random;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What a stream has beside its execs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    InOrder,
    /// Each delivery up to a second late, which no window minds.
    Reordered,
    /// As `Reordered`, and some later than that.
    Late,
    /// In order; the wall clock is set forward once and again.
    ClockSet,
    /// As a recording has it: one clock, all in order of time.
    Recording,
}

impl Kind {
    pub(crate) fn of(random: &mut Random) -> Self {
        *random.pick(&[
            Self::InOrder,
            Self::InOrder,
            Self::InOrder,
            Self::Reordered,
            Self::Reordered,
            Self::Reordered,
            Self::Reordered,
            Self::ClockSet,
            Self::ClockSet,
            Self::Late,
        ])
    }
}

/// Who execs: what a group is made of.
#[derive(Clone, Debug)]
struct Actor {
    parent_pid: u32,
    user: Option<String>,
    dest: Option<String>,
    path: Option<Vec<u8>>,
    parent_path: Option<Vec<u8>>,
    /// When it was last active, and when it first was in its latest burst, in boot time.
    latest: u64,
    burst: u64,
}

const PARENT_PIDS: [u32; 4] = [1, 11, 2, 9];
const USERS: [Option<&str>; 7] = [
    Some("root"),
    Some("Root"),
    Some("root "),
    Some("unknown"),
    None,
    Some("null"),
    Some("jürgen"),
];
const HOSTS: [Option<&str>; 5] = [
    Some("gateway"),
    Some("Gateway"),
    None,
    Some("unknown"),
    Some(""),
];
const PATHS: [Option<&[u8]>; 8] = [
    Some(b"/usr/bin/dash"),
    Some(b"/bin/dash"),
    Some(b"/usr/bin/bash"),
    Some(b"/usr/bin/Dash"),
    Some(b"/opt/\xff\n/dash"),
    Some(b"null"),
    Some(b"/null"),
    None,
];
const PARENTS: [Option<&[u8]>; 14] = [
    Some(b"/tmp/cpd"),
    Some(b"/var/tmp/cpd"),
    Some(b"/tmp/CPD"),
    Some(b"/usr/local/bin/panel"),
    Some(b"/usr/sbin/cron"),
    Some(b"/bin"),
    Some(b"/binx/sh"),
    Some(b"/tmp/bin/sh"),
    Some(b"//usr/bin/sh"),
    Some(b" /bin/sh"),
    Some("/home/ü/cpd\n".as_bytes()),
    Some(b"/tmp/\xff/cpd"),
    Some(b"null"),
    None,
];
const EXCLUDED: [&[u8]; 6] = [
    b"/bin/sh",
    b"/USR/Bin/python3",
    b"/sbin/init",
    b"/lib/systemd/\nsystemd",
    b"/usr/bin/",
    b"/usr/bin/a/b",
];

impl Actor {
    fn new(random: &mut Random) -> Self {
        let mut actor = Self {
            parent_pid: 900_000,
            user: Some("root".to_owned()),
            dest: Some("gateway".to_owned()),
            path: Some(b"/usr/bin/dash".to_vec()),
            parent_path: Some(b"/tmp/cpd".to_vec()),
            latest: 0,
            burst: 0,
        };
        for _ in 0..random.below(3) {
            actor = actor.neighbour(random);
        }
        actor
    }

    /// Another in one value, though sometimes not for the analytic.
    fn neighbour(&self, random: &mut Random) -> Self {
        let mut other = self.clone();
        match random.below(5) {
            0 if random.one_in(2) => other.parent_pid = *random.pick(&PARENT_PIDS),
            0 => other.parent_pid = 900_000 + random.below(1000) as u32,
            1 => other.user = random.pick(&USERS).map(str::to_owned),
            2 => other.dest = random.pick(&HOSTS).map(str::to_owned),
            3 => other.path = random.pick(&PATHS).map(<[u8]>::to_vec),
            _ if random.one_in(3) => other.parent_path = Some(random.pick(&EXCLUDED).to_vec()),
            _ => other.parent_path = random.pick(&PARENTS).map(<[u8]>::to_vec),
        }
        other
    }
}

/// At least `n` deliveries, in the order of delivery.
pub(crate) fn stream(random: &mut Random, kind: Kind, n: usize) -> Vec<Delivery> {
    let boot = HOUR + random.below(1000) * HOUR + random.below(HOUR);
    // Some time of 2026.
    let wall_of_boot = match kind {
        Kind::Recording => 0,
        Kind::InOrder | Kind::Reordered | Kind::Late | Kind::ClockSet => {
            1_767_225_600 * SECOND + random.below(HOUR)
        }
    };
    let begin = match kind {
        Kind::Recording => 1_767_225_600 * SECOND + random.below(HOUR),
        Kind::InOrder | Kind::Reordered | Kind::Late | Kind::ClockSet => boot,
    };
    let length = HOUR * (2 + random.below(n as u64 / 20 + 2));
    let mut stream = Stream {
        kind,
        begin,
        length,
        wall_of_boot,
        number: random.next(),
        deliveries: Vec::new(),
    };
    let mut actors: Vec<Actor> = Vec::new();
    for _ in 0..8 + random.below(n as u64 / 16) {
        let actor = match actors.is_empty() || random.one_in(4) {
            true => Actor::new(random),
            false => random.pick(&actors).neighbour(random),
        };
        actors.push(actor);
    }
    while stream.deliveries.len() < n {
        let index = random.below(actors.len() as u64) as usize;
        stream.burst(random, &mut actors[index]);
    }
    stream.finish(random)
}

struct Stream {
    kind: Kind,
    /// In boot time.
    begin: u64,
    length: u64,
    wall_of_boot: u64,
    /// Of the next exec.
    number: u64,
    deliveries: Vec<Delivery>,
}

impl Stream {
    /// Some execs of one actor that may or may not come to three ports.
    fn burst(&mut self, random: &mut Random, actor: &mut Actor) {
        let all = ["3269", "636", "989", "994", "995", "8443"];
        let first = random.below(6);
        let n_ports = *random.pick(&[1, 2, 2, 3, 3, 3, 6, 6]);
        let mut at = self.moment(random, actor);
        actor.burst = at;
        for _ in 0..=random.below(6) {
            let port = all[((first + random.below(n_ports)) % 6) as usize];
            self.exec(random, actor, port, at);
            actor.latest = at;
            at += match random.below(8) {
                0 => 0,
                1 => 1,
                2..5 => random.below(2 * SECOND),
                5 => random.below(30 * MINUTE),
                6 => HOUR - 1 - random.below(2),
                _ => MS,
            };
        }
    }

    /// Where a burst begins, or where its beginning has one exec before an edge.
    fn moment(&self, random: &mut Random, actor: &Actor) -> u64 {
        let aside = *random.pick(&[0, 1, 1, 2, SECOND, MINUTE]);
        let edge = match random.below(8) {
            0..3 => {
                let any = self.wall_of_boot + self.begin + random.below(self.length);
                let edge = any / HOUR * HOUR + 50 * MINUTE;
                edge - self.wall_of_boot
            }
            3 if actor.latest > 0 => actor.latest + HOUR,
            4 if actor.burst > 0 => actor.burst + HOUR,
            5 if actor.latest > 0 => actor.latest + random.below(HOUR),
            _ => self.begin + random.below(self.length),
        };
        let edge = if random.one_in(3) {
            edge + aside
        } else {
            edge - aside
        };
        edge.max(self.begin)
    }

    fn exec(&mut self, random: &mut Random, actor: &Actor, port: &str, at: u64) {
        self.number = self.number.wrapping_add(1);
        let number =
            u128::from(self.number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let delivery = Delivery {
            boot: at,
            wall: at + self.wall_of_boot,
            arrival_boot: at,
            arrival_wall: 0,
            guid: guid(number),
            pid: *random.pick(&[7, 70, 8, 100, 99, 1000, 999_999, 4_194_303]),
            parent_pid: actor.parent_pid,
            user: actor.user.clone(),
            dest: actor.dest.clone(),
            path: actor.path.clone(),
            parent_path: actor.parent_path.clone(),
            argv: commands::argv(random, port, self.kind == Kind::Recording),
        };
        if random.one_in(16) {
            let mut again = delivery.clone();
            again.arrival_boot += self.delay(random);
            self.deliveries.push(again);
        }
        let mut delivery = delivery;
        delivery.arrival_boot += self.delay(random);
        self.deliveries.push(delivery);
    }

    fn delay(&self, random: &mut Random) -> u64 {
        let reorders = matches!(self.kind, Kind::Reordered | Kind::Late);
        match (self.kind, random.below(60)) {
            (Kind::Late, 0) => random.below(3 * HOUR),
            (Kind::Late, 1) => SECOND + random.below(MINUTE),
            (_, 2..30) if reorders => random.below(SECOND),
            (_, 30..34) if reorders => SECOND - 1,
            _ => 0,
        }
    }

    /// In the order of delivery, and on the clocks as they are set by then.
    fn finish(mut self, random: &mut Random) -> Vec<Delivery> {
        let sets: Vec<(u64, u64)> = match self.kind {
            Kind::ClockSet => (0..1 + random.below(4))
                .map(|_| {
                    let ahead = *random.pick(&[1, SECOND, 10 * MINUTE, HOUR, 30 * HOUR]);
                    (self.begin + random.below(self.length), ahead)
                })
                .collect(),
            Kind::InOrder | Kind::Reordered | Kind::Late | Kind::Recording => Vec::new(),
        };
        let set_by = |boot: u64| {
            let done = sets.iter().filter(|(at, _)| *at <= boot);
            done.map(|(_, ahead)| *ahead).sum::<u64>()
        };
        for delivery in &mut self.deliveries {
            delivery.wall += set_by(delivery.boot);
            delivery.arrival_wall =
                delivery.arrival_boot + self.wall_of_boot + set_by(delivery.arrival_boot);
        }
        self.deliveries
            .sort_by_key(|delivery| delivery.arrival_boot);
        self.deliveries
    }
}

fn guid(number: u128) -> String {
    let digits = format!("{number:032x}");
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &digits[range]);
    format!("{a}-{b}-{c}-{d}-{e}")
}
