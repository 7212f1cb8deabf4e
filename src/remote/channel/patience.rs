//! The wait for another machine's next word.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::host::Host;

/// After this time the user is told that we wait.
const FIRST: Duration = Duration::from_secs(8);

/// After this time the user is told what may be the matter.
const SECOND: Duration = Duration::from_secs(60);

/// After this time nobody types a password any more. sshd gives two minutes for that (`LoginGraceTime`), and so does
/// each host on the way; ssh gives up a machine that is not there long before. So a machine that is still silent then
/// has let ssh in, and does not run our script.
const LAST: Duration = Duration::from_secs(600);

/// A wait for another machine, of which the user is told. It has no short limit, because we may wait for a person: to
/// type a password, or to touch a key. ssh does not tell us whether it has been let in.
#[derive(Debug)]
pub struct Patience {
    began: Instant,
    said: usize,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The greeting, which shows that our script runs.
    Greeting,
    /// A word after the greeting.
    More,
}

impl Patience {
    /// Begins a wait now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { began: now, said: 0 }
    }

    /// Returns what the user is told now, in one line or more. None most of the time.
    ///
    /// # Errors
    /// The script has not begun after so long that it never will.
    pub fn words(&mut self, host: &Host, awaited: Awaited, now: Instant) -> Result<Option<String>, Failure> {
        let waited = now.saturating_duration_since(self.began);
        let due = [FIRST, SECOND].iter().filter(|limit| waited >= **limit).count();
        if awaited == Awaited::Greeting && waited >= LAST {
            return Err(never_greeted(host));
        }
        if due <= self.said {
            return Ok(None);
        }
        self.said = due;
        let words = match (awaited, due) {
            (Awaited::Greeting, 1) => format!("waiting for {host}: no answer yet"),
            (Awaited::Greeting, _) => format!(
                "still waiting for {host}: if ssh asks nothing here, try: {}\n  \
                 if that waits as well, a login file of that user (.bashrc) waits for something. Ctrl-C ends this",
                trial(host)
            ),
            (Awaited::More, 1) => format!("waiting for {host}: it has answered, and is silent since"),
            (Awaited::More, _) => {
                format!("still waiting for {host}: it has answered, and is silent since. Ctrl-C ends this")
            }
        };
        Ok(Some(words))
    }
}

fn trial(host: &Host) -> String {
    format!("ssh {} true", host.words_for_ssh())
}

/// Returns the failure if the script never begins. The connection itself works, so this is no reason to do without the
/// machine.
fn never_greeted(host: &Host) -> Failure {
    Failure::new(format!(
        "{host} does not run our script: it has said nothing for {} minutes",
        LAST.as_secs() / 60
    ))
    .with_remedy(format!(
        "try: {}\nif that waits as well, a login file of that user (.bashrc) waits for something",
        trial(host)
    ))
    .with_code(255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;

    #[test]
    fn there_are_few_words_and_one_end() {
        let place = Place::parse("ssh://me@builder:2222", "pi").unwrap();
        let host = place.host().unwrap();
        let begin = Instant::now();
        for (awaited, end) in [(Awaited::Greeting, true), (Awaited::More, false)] {
            let mut patience = Patience::new(begin);
            let mut said = Vec::new();
            let mut failure = None;
            for second in 0..2000 {
                match patience.words(host, awaited, begin + Duration::from_secs(second)) {
                    Ok(None) => {}
                    Ok(Some(words)) => said.push((second, words)),
                    Err(error) => {
                        failure = Some((second, error));
                        break;
                    }
                }
            }
            assert_eq!(
                said.iter().map(|(second, _)| *second).collect::<Vec<_>>(),
                [FIRST.as_secs(), SECOND.as_secs()]
            );
            assert!(said[0].1.starts_with(&format!("waiting for {host}:")), "{said:?}");
            assert!(said[1].1.contains("Ctrl-C ends this"), "{said:?}");
            assert_eq!(failure.is_some(), end);
            if let Some((second, failure)) = failure {
                assert_eq!(
                    (second, failure.code(), failure.unreachable()),
                    (LAST.as_secs(), 255, None)
                );
                assert!(
                    failure.remedy().unwrap().contains("ssh -p 2222 me@builder true"),
                    "{failure:?}"
                );
            }
        }
    }

    /// Each thing is said only once, even if nobody has looked for long.
    #[test]
    fn what_is_late_is_said_once() {
        let place = Place::parse("builder", "pi").unwrap();
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        let mut words = |after: u64| {
            let now = begin + Duration::from_secs(after);
            patience.words(place.host().unwrap(), Awaited::Greeting, now).unwrap()
        };
        assert!(words(100).is_some_and(|text| text.starts_with("still")));
        assert_eq!((words(101), words(300)), (None, None));
    }
}
