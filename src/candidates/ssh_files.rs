//! The names in ssh's configuration and in its files of known hosts.
//!
//! ssh itself tells what holds for a name, but lists no names. Little is read here: `Host` lines, the files that they
//! are in (`Include`), and the places of the known hosts. A line that cannot be understood is left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Places, text_of};

/// No more files than this are read, because the user waits for each.
const MAX_FILES: usize = 100;

/// A machine whose key is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownHost {
    /// Its name or address.
    pub name: String,
    /// Its port, if it is not 22.
    pub port: Option<String>,
}

/// The machines that these files name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SshFiles {
    /// From `Host` lines, without patterns.
    pub configured: BTreeSet<String>,
    /// From the known hosts that are not hashed.
    pub known: BTreeSet<KnownHost>,
}

/// A file of ssh's configuration.
struct Config {
    path: PathBuf,
    /// The directory from which its relative names begin.
    base: PathBuf,
}

impl SshFiles {
    /// Reads all of ssh's files.
    pub fn read(places: &Places) -> Self {
        let of_user = places.home.join(".ssh");
        let of_all = places.ssh.clone();
        let mut known = vec![
            of_user.join("known_hosts"),
            of_user.join("known_hosts2"),
            of_all.join("ssh_known_hosts"),
            of_all.join("ssh_known_hosts2"),
        ];
        let config = |base: &Path, name: &str| Config {
            path: base.join(name),
            base: base.to_owned(),
        };
        let mut waiting = vec![config(&of_all, "ssh_config"), config(&of_user, "config")];
        let mut seen = BTreeSet::new();
        let mut found = Self::default();
        while let Some(file) = waiting.pop() {
            // Files may include each other.
            if seen.len() == MAX_FILES || !seen.insert(file.path.clone()) {
                continue;
            }
            for line in text_of(&file.path).unwrap_or_default().lines() {
                let Some((keyword, words)) = directive(line) else {
                    continue;
                };
                let paths = || words.iter().filter_map(|word| absolute(word, &file.base, &places.home));
                match keyword.as_str() {
                    "host" => found.configured.extend(words.into_iter().filter(|word| is_name(word))),
                    "include" => waiting.extend(paths().flat_map(|path| matching(&path)).map(|path| Config {
                        path,
                        base: file.base.clone(),
                    })),
                    "userknownhostsfile" | "globalknownhostsfile" => known.extend(paths()),
                    _ => {}
                }
            }
        }
        let known: BTreeSet<PathBuf> = known.into_iter().collect();
        for path in known.into_iter().take(MAX_FILES) {
            let text = text_of(&path).unwrap_or_default();
            found.known.extend(text.lines().flat_map(machines));
        }
        found
    }
}

/// Returns a line's keyword, in small letters, and the words after it.
fn directive(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((line[..end].to_ascii_lowercase(), shlex::split(rest)?))
}

/// Returns whether a word is a name, and neither a pattern nor its negation.
fn is_name(word: &str) -> bool {
    !word.is_empty() && !word.contains(['*', '?', '!'])
}

fn absolute(word: &str, base: &Path, home: &Path) -> Option<PathBuf> {
    if word.is_empty() {
        return None;
    }
    Some(match word.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => base.join(word),
    })
}

/// Returns the files that an `Include` means.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let found = pattern.to_str().and_then(|pattern| glob::glob(pattern).ok());
    found.into_iter().flatten().flatten().take(MAX_FILES).collect()
}

/// Returns the machines in a line of known hosts: `host,[host]:port KEY`.
fn machines(line: &str) -> impl Iterator<Item = KnownHost> {
    let names = line.split_whitespace().next().unwrap_or_default();
    // The line is a comment, or begins with a marker; a pattern or an untrusted key follows a marker.
    let names = if names.starts_with(['#', '@']) { "" } else { names };
    names.split(',').filter_map(|name| {
        // The name is hashed.
        if name.starts_with('|') || !is_name(name) {
            return None;
        }
        let (name, port) = match name.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
            Some((name, port)) => (name, Some(port.to_owned())),
            None => (name, None),
        };
        Some(KnownHost {
            name: name.to_owned(),
            port: port.filter(|port| port != "22"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, write};
    use super::*;

    fn configured(places: &Places) -> Vec<String> {
        SshFiles::read(places).configured.into_iter().collect()
    }

    #[test]
    fn host_lines_without_patterns() {
        let (_root, places) = places();
        write(
            &places.home.join(".ssh/config"),
            "# Host comment\nHost builder  bench\n  HostName 10.0.0.1\n\thost = pi\nHOST=\"quoted\"\n\
             Host * !not web-? 10.*\nMatch host other\nHostKeyAlias no\nHost\nHost \"broken\n",
        );
        write(&places.ssh.join("ssh_config"), "Host shared builder\n");
        assert_eq!(configured(&places), ["bench", "builder", "pi", "quoted", "shared"]);
    }

    #[test]
    fn included_files_and_their_own() {
        let (_root, places) = places();
        let ssh = places.home.join(".ssh");
        let elsewhere = places.directory.join("absolute");
        write(
            &ssh.join("config"),
            &format!(
                "Include config.d/*.conf ~/more \"{}\" missing\nHost first\n  Include late\n",
                elsewhere.display()
            ),
        );
        // The path is relative to ~/.ssh, wherever the file is; and the files include each other in a circle.
        write(
            &ssh.join("config.d/a.conf"),
            "Host a\nInclude config\nInclude config.d/b\n",
        );
        write(&ssh.join("config.d/b"), "Host b\n");
        write(&places.home.join("more"), "Host more\n");
        write(&elsewhere, "Host absolute\n");
        write(&ssh.join("late"), "Host late\n");
        write(&places.ssh.join("ssh_config"), "Include ssh_config.d/*\n");
        write(&places.ssh.join("ssh_config.d/x"), "Host of-all\n");
        assert_eq!(
            configured(&places),
            ["a", "absolute", "b", "first", "late", "more", "of-all"]
        );
    }

    #[test]
    fn known_hosts_that_are_not_hashed() {
        let (_root, places) = places();
        write(
            &places.home.join(".ssh/known_hosts"),
            "plain ssh-ed25519 A\na,b,[c]:2222,[d]:22 ssh-rsa A\n|1|salt=|hash= ssh-rsa A\n# comment\n\n\
             @cert-authority *.example.org ssh-rsa A\n@revoked gone ssh-rsa A\n!no,*.lan ssh-rsa A\n",
        );
        write(&places.ssh.join("ssh_known_hosts"), "of-all ssh-ed25519 A\n");
        write(
            &places.home.join(".ssh/config"),
            "UserKnownHostsFile ~/.ssh/%h ~/.ssh/mine\n",
        );
        write(&places.home.join(".ssh/mine"), "mine ssh-ed25519 A\n");
        let known: Vec<_> = SshFiles::read(&places)
            .known
            .into_iter()
            .map(|machine| machine.name + &machine.port.map(|port| format!(":{port}")).unwrap_or_default())
            .collect();
        assert_eq!(known, ["a", "b", "c:2222", "d", "mine", "of-all", "plain"]);
    }

    #[test]
    fn what_is_no_file_keeps_nobody_waiting() {
        let (_root, places) = places();
        let ssh = places.home.join(".ssh");
        write(&ssh.join("config"), "Include pipe\nInclude config.d\nHost fine\n");
        std::fs::create_dir(ssh.join("config.d")).unwrap();
        nix::unistd::mkfifo(&ssh.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(configured(&places), ["fine"]);
    }
}
