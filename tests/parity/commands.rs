//! Command lines that fit the analytic, and others that nearly do.

use super::random::Random;

/// What each pattern of the `where` asks for, and what is nearly that. What follows in a command line may
/// still make one fit that does not fit alone; the oracle says what came of it.
struct Piece {
    fitting: &'static [&'static str],
    near: &'static [&'static str],
}

const NAME: Piece = Piece {
    fitting: &[
        "iptables ",
        "/sbin/iptables ",
        "busybox iptables ",
        "xtables-nft-multi iptables ",
        "IPTABLES ",
        "IpTables ",
        "öiptables ",
    ],
    near: &[
        "iptables\t",
        "iptables\n",
        "iptables\u{a0}",
        "ip6tables ",
        "iptables-legacy ",
        "iptable s ",
        "ıptables ",
        "іptables ",
        "iptableſ ",
        "ip\ntables ",
        "iptables;",
    ],
};

const DPORT: Piece = Piece {
    fitting: &[" --dport ", " -m tcp --dport ", " --DPORT ", "\n --dport "],
    near: &[
        " --dport=",
        " --dport\t",
        "\t--dport ",
        " --dports ",
        " -dport ",
        " –dport ",
        " --dp ",
        " --destination-port ",
        "--dport ",
    ],
};

const PORT: Piece = Piece {
    fitting: &["3269", "636", "989", "994", "995", "8443"],
    near: &[
        "6360", "32690", "8443x", "636:640", "63", "0636", "990", "80", "326", " 636", "٦٣٦",
        "\n636", "ldaps", "84433269", "9899", "",
    ],
};

const TARGET: Piece = Piece {
    fitting: &[
        " -j ACCEPT",
        " -j accept",
        " ACCEPTED",
        " -j Accept",
        "  ACCEPT",
    ],
    near: &[
        "\tACCEPT",
        " -jACCEPT",
        " -j ACEPT",
        " -j DROP",
        " -j\nACCEPT",
        " -j ΑCCEPT",
    ],
};

const REDIRECT: Piece = Piece {
    fitting: &[
        " &>/dev/null",
        "&>/dev/null",
        " &>/DEV/NULL",
        " &>/dev/null2",
        "&&>/dev/null\n",
    ],
    near: &[
        " >/dev/null 2>&1",
        " &> /dev/null",
        " & >/dev/null",
        " &>/dev/nul",
        " &amp;&gt;/dev/null",
        " >&/dev/null",
        " &>/dev//null",
    ],
};

const PROTOCOL: Piece = Piece {
    fitting: &[" -p tcp ", " tcp ", " -p TCP ", " --protocol Tcp "],
    near: &[
        " -p udp ",
        " -ptcp ",
        " -p tcp,udp ",
        " -p tcp\n",
        " -p tcp\t",
        " -p\ttcp\t",
        " -p 6 ",
        " -p tсp ",
    ],
};

/// The arguments of a command that asks for `port`, or of one that nearly does. In a recording most only nearly
/// do, and none is so long that its alert is cut: alerts as text take long.
pub(crate) fn argv(random: &mut Random, port: &str, is_recorded: bool) -> Vec<Vec<u8>> {
    if random.one_in(300) {
        return random
            .pick(&[Vec::new(), vec![Vec::new()], vec![b"iptables".to_vec()]])
            .clone();
    }
    // One that is near in one clause tells most; in several, little.
    let is_near = if is_recorded {
        !random.one_in(5)
    } else {
        random.one_in(4)
    };
    let near = if is_near { random.below(6) } else { 6 };
    let also_near = if random.one_in(20) {
        random.below(6)
    } else {
        6
    };
    let mut piece = |number: u64, piece: &Piece| {
        let near = number == near || number == also_near;
        let common = !near && !random.one_in(4);
        match (near, common) {
            (true, _) => *random.pick(piece.near),
            (false, true) => piece.fitting[0],
            (false, false) => *random.pick(piece.fitting),
        }
    };
    let name = piece(0, &NAME);
    let asked = [
        piece(1, &DPORT),
        if near == 5 { piece(5, &PORT) } else { port },
    ]
    .concat();
    let mut others = vec![
        asked,
        piece(2, &TARGET).to_owned(),
        piece(3, &REDIRECT).to_owned(),
        piece(4, &PROTOCOL).to_owned(),
    ];
    if random.one_in(3) {
        random.shuffle(&mut others);
    } else {
        // As a person writes it.
        others.rotate_right(1);
    }
    if random.one_in(12) {
        let other = [*random.pick(DPORT.fitting), *random.pick(PORT.fitting)].concat();
        let place = random.below(others.len() as u64 + 1) as usize;
        others.insert(place, other);
    }
    if random.one_in(12) {
        let place = random.below(others.len() as u64 + 1) as usize;
        others.insert(place, [" --dport ", *random.pick(PORT.near)].concat());
    }
    others.insert(
        0,
        random
            .pick(&["-I OUTPUT", "-A OUTPUT", "-D OUTPUT", "-C OUTPUT"])
            .to_string(),
    );
    others.insert(0, name.to_owned());
    if random.one_in(20) {
        random.shuffle(&mut others);
    }
    let mut text = others.concat().into_bytes();
    decorate(random, &mut text, !is_recorded);
    arguments(random, text)
}

/// What does not matter to the patterns, at either end.
fn decorate(random: &mut Random, text: &mut Vec<u8>, long_ones: bool) {
    match random.below(40) {
        0 => text.extend_from_slice(" # größe 🔥 ünïcode\u{202e}".as_bytes()),
        1 => text.extend_from_slice(b"\n\n"),
        2 => text.extend_from_slice(b" \xff\xfe\x80"),
        3 => text.splice(0..0, *b"\xc3\x28 \n").for_each(drop),
        4 => text.extend_from_slice(b"  "),
        5 => text.extend_from_slice(format!(" # {}", random.below(50)).as_bytes()),
        6 => text.make_ascii_uppercase(),
        7 => text.make_ascii_lowercase(),
        8 if long_ones && random.one_in(4) => {
            // Longer than what an alert shows whole. Its number is at its head, so that two of them are in
            // the order of what is shown.
            let mut head = format!("{:016x} ", random.next()).into_bytes();
            head.extend(vec![b'x'; 5000 + random.below(3000) as usize]);
            text.splice(0..0, head).for_each(drop);
        }
        _ => {}
    }
}

/// As one argument of a shell, or cut at its spaces, so that some are the joins of arguments.
fn arguments(random: &mut Random, text: Vec<u8>) -> Vec<Vec<u8>> {
    let cut = |text: &[u8]| {
        text.split(|&byte| byte == b' ')
            .map(<[u8]>::to_vec)
            .collect()
    };
    match random.below(4) {
        0 => cut(&text),
        1 => {
            let mut argv: Vec<Vec<u8>> = cut(&text);
            argv.insert(0, b"-c".to_vec());
            argv.insert(0, Vec::new());
            argv
        }
        _ => vec![b"sh".to_vec(), b"-c".to_vec(), text],
    }
}
