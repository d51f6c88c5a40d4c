//! What is mounted, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

/// One mount, as far as a check asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Spaces and the like stand there as `\040`.
    pub point: String,
    pub kind: String,
    /// Options of the file system, separated by commas.
    pub options: String,
}

impl Mount {
    /// The value of the option of that name.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut options = self.options.split(',');
        options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Every mount of the text; a line that is damaged is passed over.
pub fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo.lines().filter_map(parse_line).collect()
}

/// `id parent major:minor root point options [optional…] - kind source options`.
fn parse_line(line: &str) -> Option<Mount> {
    let (place, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    Some(Mount {
        point: place.split(' ').nth(4)?.to_owned(),
        kind: file_system.next()?.to_owned(),
        options: file_system.nth(1)?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_and_without_optional_fields() {
        let mounts = parse(
            "22 27 0:21 / /proc rw,relatime - proc proc rw,hidepid=invisible,gid=4\n\
             27 1 254:0 / / rw shared:1 master:2 - ext4 /dev/vda rw,discard\n\
             damaged\n",
        );
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, "/proc");
        assert_eq!(mounts[0].option("hidepid"), Some("invisible"));
        assert_eq!(mounts[0].option("hide"), None);
        assert_eq!((&*mounts[1].point, &*mounts[1].kind), ("/", "ext4"));
        assert_eq!(mounts[1].option("discard"), None);
    }
}
