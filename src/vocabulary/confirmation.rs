use crate::host::Host;

/// How a change is confirmed, without which it goes back by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// How long the target waits for it, in seconds.
    pub seconds: u32,
    /// What confirms it.
    pub by: Proof,
}

/// What shows that a machine is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A new login to the target.
    Login,
    /// One of these hosts can be reached from here: the target is this machine, and a login to itself would show nothing.
    Reaching(Vec<Host>),
    /// A person says so (`rebuild confirm`).
    Person,
}
