//! The work of another machine: evaluating, building, or both.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use super::gather::{self, Gathered, gather};
use super::identity;
use crate::builder::delivery::Delivery;
use crate::builder::evaluation::{Evaluation, VariableWatch};
use crate::builder::realisation::{Building, Realisation};
use crate::builder::request::{Beginning, Job, Request};
use crate::builder::sources::Sources;
use crate::builder::upgrade::Upgrade;
use crate::builder::{Answer, AskedMeanwhile, Peer, Question, converse};
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::own_nix::search_path::own_search_path;
use crate::plan::{Absence, Configuration, Deployment, Making, NixFlags, argv};
use crate::process::signals::Signals;
use crate::progress::Event;
use crate::remote::relay::Relay;
use crate::sources::environment::Environment;
use crate::sources::record::RecordFile;
use crate::sources::releases::{Release, releases};
use crate::ssh;
use crate::store_path::StorePath;
use crate::surroundings::{Directory, HomeVariable};
use crate::vocabulary::FlakeReference;

/// The level of Nix's log on which it warns, for example of a lock that it does not write.
const WARNINGS: u8 = 1;

/// So many talks about one evaluation may begin, each after a link that broke in the one before.
const MOST_TALKS: usize = 5;

/// The work that another machine has to do for a making.
pub(super) struct Errand<'a> {
    host: &'a Host,
    making: &'a Making,
    flags: &'a NixFlags,
    absence: Absence,
    release_site: &'a str,
    detach: bool,
    /// The generation of channels that the evaluation is to see in place of this machine's.
    channels: Option<&'a StorePath>,
    context: &'a Context<'a>,
}

/// The machine that is to get what was made.
#[derive(Clone, Copy)]
pub(super) struct Recipient<'a> {
    /// The relay to the daemon that takes it. If no daemon is lent, the result is fetched afterwards.
    pub relay: Option<&'a Relay>,
    /// That machine, if it is not this one.
    pub machine: Option<&'a Host>,
}

impl<'a> Errand<'a> {
    pub(super) fn new(
        host: &'a Host,
        making: &'a Making,
        channels: Option<&'a StorePath>,
        plan: &'a Deployment,
        context: &'a Context,
    ) -> Self {
        Self {
            host,
            making,
            flags: &plan.flags,
            absence: plan.absence,
            release_site: &plan.release_site,
            detach: plan.leaves_builder(),
            channels,
            context,
        }
    }

    /// Evaluates on the other machine, and also builds the result if that is asked for. `expected` is the derivation
    /// that the evaluation must give.
    ///
    /// # Errors
    /// Fails, among other ways, with [`CannotEvaluate`](crate::builder::CannotEvaluate); then nothing was done.
    pub(super) fn evaluate(
        &self,
        building: Option<Building>,
        expected: Option<&StorePath>,
        recipient: Option<Recipient>,
    ) -> Result<Answer> {
        self.session(&self.commands(), false, expected, building, recipient)
    }

    /// Evaluates a value on the other machine, and returns what this command prints.
    pub(super) fn ask(&self, command: Vec<String>) -> Result<Answer> {
        let commands = [command.clone(), command];
        self.session(&commands, true, None, None, None)
    }

    /// Evaluates, and begins anew if the link broke before it was known what the evaluation lacks.
    fn session(
        &self,
        commands: &[Vec<String>; 2],
        gives_value: bool,
        expected: Option<&StorePath>,
        building: Option<Building>,
        recipient: Option<Recipient>,
    ) -> Result<Answer> {
        let mut times = 1;
        loop {
            let answer = self.talk(commands.clone(), gives_value, expected.cloned(), building, recipient);
            let Err(error) = answer else { return answer };
            if !error.is::<AskedMeanwhile>() {
                return Err(error);
            }
            if times == MOST_TALKS {
                return Err(error.downcast::<Failure>()?.into());
            }
            times += 1;
            let text = format!(
                "{}: evaluating again, because the evaluation lacked something",
                self.host
            );
            self.context.tell(Event::Text(text));
        }
    }

    fn talk(
        &self,
        commands: [Vec<String>; 2],
        gives_value: bool,
        expected: Option<StorePath>,
        building: Option<Building>,
        recipient: Option<Recipient>,
    ) -> Result<Answer> {
        let (evaluation, mut sources) = self.question(commands, gives_value, expected)?;
        let beginning = Beginning::Files(Box::new(evaluation));
        let answer = self.converse(beginning, building, recipient, &mut sources);
        if let Ok(Answer {
            derivation: Some(derivation),
            result: Some(result),
            ..
        }) = &answer
        {
            sources.keep_result(derivation, result);
        }
        // An evaluation that fails may have written a lock file before.
        if let Some(lock) = sources.written_lock() {
            track(lock, self.context.signals);
        }
        answer
    }

    /// Returns what was built when the same was asked before; None if nothing is known of that, or if it is to be asked
    /// anew.
    pub(super) fn known_result(&self) -> Result<Option<StorePath>> {
        if self.flags.asks_anew || self.making.verify_evaluation {
            return Ok(None);
        }
        let (evaluation, sources) = self.question(self.commands(), false, None)?;
        let mut request = self.request(Beginning::Files(Box::new(evaluation)), None, None)?;
        request.recall(&sources)?;
        Ok(request.known_result(&sources).cloned())
    }

    fn commands(&self) -> [Vec<String>; 2] {
        let subject = self.making.subject();
        [
            argv::evaluation_there(&subject, self.flags),
            argv::look_there(&subject, self.flags),
        ]
    }

    /// Returns an evaluation, and the files that it needs.
    fn question(
        &self,
        [command, look]: [Vec<String>; 2],
        gives_value: bool,
        expected: Option<StorePath>,
    ) -> Result<(Evaluation, Sources)> {
        let settings = &self.context.nix.settings;
        settings.may_go()?;
        let Gathered {
            collection,
            lock,
            entry,
        } = gather(
            &self.making.configuration,
            self.channels,
            self.context.around,
            self.context.nix,
        )?;
        let environment = Environment::new(self.variables(), &self.flags.evaluation.send_env);
        let lock_path = lock.as_ref().map(|lock| lock.path().to_owned());
        let sources = Sources::new(collection, environment, self.record(), lock);
        let home = self.context.around.home_variable();
        let watch = self.watches().then(|| VariableWatch {
            entry,
            verbosity: self.flags.common.verbosity(),
        });
        let evaluation = Evaluation {
            command,
            gives_value,
            expected,
            system: self.system(&["eval-system", "system"]),
            look,
            lock: lock_path,
            registry: gather::registry(self.context.around),
            environment: sources.environment()?,
            watch,
            home: (home == HomeVariable::Unset).then(|| self.context.around.home()),
            home_is_unsure: matches!(home, HomeVariable::AnotherUsers(_)),
            settings: self.context.nix.of_files.of_evaluation() + &own_search_path(self.context.around, settings),
            decisive_settings: settings.decisive(),
            directory: self.context.around.directory.clone(),
            need: sources.need(),
            is_large: sources.collection.mirror().entries.len() > 20_000,
            releases: self.releases(&sources),
            may_be_remembered: self.may_be_remembered(),
            known: None,
        };
        Ok((evaluation, sources))
    }

    /// Returns which of this machine's store paths the other one may fetch itself.
    fn releases(&self, sources: &Sources) -> Vec<Release> {
        let trees = sources.collection.trees().iter().map(OsString::as_os_str);
        releases(Path::new("/nix/store"), trees, self.release_site)
    }

    /// Returns the variables of this process. If HOME is another user's, Nix's own variables tell the Nix on the other
    /// machine where the registry of this user's flakes is, because it would look below that HOME. No flake reads these
    /// variables.
    fn variables(&self) -> Vec<(OsString, OsString)> {
        let mut variables = self.context.around.variables.clone();
        let is_flake = matches!(self.making.configuration, Configuration::Flake(_));
        if is_flake && matches!(self.context.around.home_variable(), HomeVariable::AnotherUsers(_)) {
            for kind in [Directory::Config, Directory::Data] {
                let name = kind.variable_of_nix();
                variables.retain(|(own, _)| own != name);
                variables.push((name.into(), self.context.around.nix_directory(kind).into()));
            }
        }
        variables
    }

    /// Returns whether the evaluation can read variables at all.
    fn watches(&self) -> bool {
        match &self.making.configuration {
            Configuration::Flake(flake) => {
                flake.flags.impure
                    || self
                        .flags
                        .common
                        .setting("pure-eval")
                        .is_some_and(|value| value != "true")
            }
            _ => true,
        }
    }

    /// Returns whether the same question has the same answer later, as far as the configuration's name tells: a flake must
    /// not be looked up or locked anew each time.
    fn may_be_remembered(&self) -> bool {
        let Configuration::Flake(flake) = &self.making.configuration else {
            return true;
        };
        let flags = &flake.flags;
        let is_locked_anew = flags.recreate_lock_file
            || flags.no_write_lock_file
            || !flags.update_input.is_empty()
            || !flags.override_input.is_empty();
        FlakeReference::is_settled(&flake.reference) && !is_locked_anew && self.flags.common.verbosity() >= WARNINGS
    }

    /// Builds a derivation that has been brought to the other machine.
    pub(super) fn build(
        &self,
        derivation: &StorePath,
        building: Building,
        recipient: Option<Recipient>,
    ) -> Result<Answer> {
        let beginning = Beginning::Derivation(derivation.clone());
        self.converse(beginning, Some(building), recipient, &mut Sources::none())
    }

    /// Updates these channels there. They are lines of `~/.nix-channels`.
    pub(super) fn update(&self, channels: String) -> Result<Answer> {
        let beginning = Beginning::Channels(Upgrade { channels });
        self.converse(beginning, None, None, &mut Sources::none())
    }

    /// Brings a path from there to the recipient.
    pub(super) fn bring(&self, path: &StorePath, recipient: Recipient) -> Result<Answer> {
        let beginning = Beginning::Path(path.clone());
        self.converse(beginning, None, Some(recipient), &mut Sources::none())
    }

    fn converse(
        &self,
        beginning: Beginning,
        building: Option<Building>,
        recipient: Option<Recipient>,
        sources: &mut Sources,
    ) -> Result<Answer> {
        let mut request = self.request(beginning, building, recipient)?;
        let is_compared = request
            .evaluation()
            .is_some_and(|evaluation| evaluation.expected.is_some());
        let recalls = !self.flags.asks_anew && !is_compared;
        if recalls && request.recall(sources)? {
            let text = "evaluated anew: another question than the one that is remembered";
            self.context.tell(Event::Detail(text.to_owned()));
        }
        let import = |path: &StorePath| {
            let command = self
                .context
                .ssh
                .for_nix(argv::bring(path, self.host, self.flags), self.host)?;
            self.context.tell(Event::Trace(format!("$ {command}")));
            command.run(self.context.signals)
        };
        let peer = Peer {
            host: self.host,
            relay: recipient.and_then(|recipient| recipient.relay),
            receiver: recipient.and_then(|recipient| recipient.machine),
            own_nix: &|| self.own_nix(),
            importer: &import,
            database: &|question, names| self.ask_database(question, names),
        };
        converse(&peer, &request, sources, self.context)
    }

    fn request(
        &self,
        beginning: Beginning,
        building: Option<Building>,
        recipient: Option<Recipient>,
    ) -> Result<Request> {
        Ok(Request {
            client: identity::client(self.context.around, &self.context.reporter),
            settings: self.flags.common.settings()?,
            system: self.system(&["system"]),
            beginning,
            realisation: building.map(|building| self.realisation(building)),
            delivery: recipient.map(|recipient| self.delivery(recipient)).transpose()?,
            job: Job {
                name: ssh::new_name()?,
                about: self.making.configuration.to_string(),
                alone: self.absence.unattended,
                reconnect: self.absence.reconnect,
                detach: self.detach,
            },
        })
    }

    fn realisation(&self, building: Building) -> Realisation {
        let common = self.flags.common.arguments_there();
        let flags = [common, self.flags.build.realise_arguments()].concat();
        Realisation { building, flags }
    }

    fn delivery(&self, recipient: Recipient) -> Result<Delivery> {
        Ok(Delivery {
            socket: recipient.relay.map(|_| ssh::socket_there()).transpose()?,
            flags: self.flags.copy.arguments(),
        })
    }

    /// Returns the record of what the other machine needed the last time, for the same configuration under the same
    /// names.
    fn record(&self) -> RecordFile {
        let cache = self.context.around.own_directory(Directory::Cache);
        let configuration = self.making.configuration.to_string();
        let include = self.flags.evaluation.include.join("\n");
        let directory = self.context.around.directory.to_string_lossy();
        let variable = |name| self.context.around.text(name).unwrap_or_default();
        let (config, path) = (variable("NIXOS_CONFIG"), variable("NIX_PATH"));
        let host = self.host.to_string();
        let what = [host.as_str(), &configuration, &directory, &include, &config, &path];
        RecordFile::new(&cache.join("rebuild"), &what)
    }

    /// Returns the first of these settings that is set. The user's flags count before this machine's files.
    fn system(&self, names: &[&str]) -> String {
        let own = &self.context.nix.of_files;
        let given = names.iter().find_map(|name| self.flags.common.setting(name));
        let set = || {
            names
                .iter()
                .find_map(|name| own.get(name).filter(|value| !value.is_empty()))
        };
        given.or_else(set).map_or_else(|| own.system(), str::to_owned)
    }

    /// Asks this machine's Nix what its database has of these names in the store, which it need not read for that. Returns
    /// a line for each, or nothing if it does not know all of them.
    fn ask_database(&self, question: Question, names: &[OsString]) -> Option<Vec<String>> {
        let flag = match question {
            Question::Hash => "--hash",
            Question::Size => "--size",
        };
        let output = argv::of_database(flag, names).quietly(self.context.signals).ok()?;
        let lines: Vec<String> = String::from_utf8(output).ok()?.lines().map(str::to_owned).collect();
        (lines.len() == names.len()).then_some(lines)
    }

    /// Returns the version of Nix here if the configuration is a flake: a newer Nix may make more of a flake than an
    /// older one, and so another derivation.
    fn own_nix(&self) -> Option<String> {
        let Configuration::Flake(_) = self.making.configuration else {
            return None;
        };
        let output = argv::version().capture(self.context.signals).ok()?;
        let text = String::from_utf8_lossy(&output);
        text.split_whitespace().next_back().map(str::to_owned)
    }
}

/// Makes a lock file that was written in a git repository known to git, as Nix does: a flake consists of the files that
/// git knows.
fn track(lock: &Path, signals: &Signals) {
    let Some(directory) = lock.parent() else { return };
    if directory.ancestors().any(|parent| parent.join(".git").exists()) {
        // Without git on this machine, Nix could not do it either.
        let _ = argv::track(directory, "flake.lock").capture(signals);
    }
}
