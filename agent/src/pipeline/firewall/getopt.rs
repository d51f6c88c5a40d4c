//! Options as `getopt_long(3)` reads them.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
}

/// An option: its letter, if it has one, and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    pub(super) letter: Option<u8>,
    pub(super) name: &'static str,
    pub(super) takes: Takes,
}

impl Opt {
    pub(super) const fn new(letter: u8, name: &'static str, takes: Takes) -> Self {
        Self {
            letter: Some(letter),
            name,
            takes,
        }
    }

    pub(super) const fn long(name: &'static str, takes: Takes) -> Self {
        Self {
            letter: None,
            name,
            takes,
        }
    }
}

/// Where words that are no options may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The first such word ends the options.
    OptionsFirst,
    /// Anywhere.
    Mixed,
}

/// What a command line has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    /// The options by their names, in their order.
    pub(super) options: Vec<(&'static str, Option<&'a [u8]>)>,
    pub(super) words: Vec<&'a [u8]>,
}

impl<'a> Parsed<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }

    /// The last value of an option.
    pub(super) fn value(&self, name: &str) -> Option<&'a [u8]> {
        let mut given = self.options.iter().rev();
        given.find(|(known, _)| *known == name)?.1
    }
}

/// Reads `arguments`, which are without the program's name. What getopt would refuse is an error: why.
pub(super) fn parse<'a>(
    arguments: &[&'a [u8]],
    known: &[Opt],
    order: Order,
) -> Result<Parsed<'a>, String> {
    let mut parsed = Parsed::default();
    let mut rest = arguments;
    while let Some((argument, behind)) = rest.split_first() {
        rest = behind;
        match *argument {
            b"--" => {
                parsed.words.extend_from_slice(rest);
                break;
            }
            [b'-', b'-', long @ ..] => rest = long_option(long, rest, known, &mut parsed)?,
            [b'-', cluster @ ..] if !cluster.is_empty() => {
                rest = short_options(cluster, rest, known, &mut parsed)?;
            }
            word => {
                parsed.words.push(word);
                if order == Order::OptionsFirst {
                    parsed.words.extend_from_slice(rest);
                    break;
                }
            }
        }
    }
    Ok(parsed)
}

fn long_option<'r, 'a>(
    text: &'a [u8],
    rest: &'r [&'a [u8]],
    known: &[Opt],
    parsed: &mut Parsed<'a>,
) -> Result<&'r [&'a [u8]], String> {
    let mut split = text.splitn(2, |&byte| byte == b'=');
    let name = split.next().unwrap_or_default();
    let attached = split.next();
    let option = named(name, known)?;
    match (option.takes, attached, rest) {
        (Takes::Nothing, Some(_), _) => Err(format!("--{} takes no value", option.name)),
        (Takes::Nothing, None, _) => {
            parsed.options.push((option.name, None));
            Ok(rest)
        }
        (Takes::Value, Some(value), _) => {
            parsed.options.push((option.name, Some(value)));
            Ok(rest)
        }
        (Takes::Value, None, [value, rest @ ..]) => {
            parsed.options.push((option.name, Some(value)));
            Ok(rest)
        }
        (Takes::Value, None, []) => Err(format!("--{} needs a value", option.name)),
    }
}

/// The option of that name, or the only one that begins so.
fn named<'k>(name: &[u8], known: &'k [Opt]) -> Result<&'k Opt, String> {
    let exact = known.iter().find(|option| option.name.as_bytes() == name);
    if let Some(exact) = exact {
        return Ok(exact);
    }
    let mut fitting = known
        .iter()
        .filter(|option| !name.is_empty() && option.name.as_bytes().starts_with(name));
    match (fitting.next(), fitting.next()) {
        (Some(option), None) => Ok(option),
        (Some(_), Some(_)) => Err(format!("--{} is ambiguous", name.escape_ascii())),
        (None, _) => Err(format!("no option --{}", name.escape_ascii())),
    }
}

fn short_options<'r, 'a>(
    cluster: &'a [u8],
    rest: &'r [&'a [u8]],
    known: &[Opt],
    parsed: &mut Parsed<'a>,
) -> Result<&'r [&'a [u8]], String> {
    let mut letters = cluster;
    while let Some((&letter, behind)) = letters.split_first() {
        letters = behind;
        let option = known.iter().find(|option| option.letter == Some(letter));
        let Some(option) = option else {
            return Err(format!("no option -{}", letter.escape_ascii()));
        };
        match (option.takes, letters.is_empty(), rest) {
            (Takes::Nothing, _, _) => parsed.options.push((option.name, None)),
            (Takes::Value, false, _) => {
                parsed.options.push((option.name, Some(letters)));
                return Ok(rest);
            }
            (Takes::Value, true, [value, rest @ ..]) => {
                parsed.options.push((option.name, Some(value)));
                return Ok(rest);
            }
            (Takes::Value, true, []) => {
                return Err(format!("-{} needs a value", letter.escape_ascii()));
            }
        }
    }
    Ok(rest)
}
