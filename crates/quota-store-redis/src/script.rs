//! The script, and how it is called.

use quota_core::{Detail, OperationId};
use quota_service::{StoreError, block_of_made, may_be_made};
use redis::{Cmd, Script, Value};

use crate::account_list::AccountText;
use crate::call_error::CallError;
use crate::gathering::Gathering;
use crate::kept_ids::KeptIds;
use crate::keys::{ClientKeys, Key};
use crate::putting::PutScript;
use crate::queue::{Queue, Token};
use crate::settings::Settings;
use crate::state::State;
use crate::stored::Stored;
use crate::turn::Going;
use crate::values::{array, text, texts, unexpected};
use crate::version::{Version, check_detail, version_of};

/// The version of an account that was not read yet: no account has it.
pub(crate) const UNREAD: &str = "?";

/// `HSET` and `ZADD`, but for the first word: in so many milliseconds the key expires, if this commit makes it.
const HSETPX: &str = "HSETPX";
const ZADDPX: &str = "ZADDPX";

/// How many words a command gets at most: Lua's stack is bounded.
const WORDS: usize = 2_000;

/// So many ids times keys are looked through where a text is put.
const FEW: usize = 256;

/// About as long is the call of one charge.
const ARGUMENTS: usize = 48;
const BYTES: usize = 1_024;

/// The script and the digest that servers know it by.
#[derive(Debug)]
pub(crate) struct CommitScript {
    script: Script,
    pub(crate) put: PutScript,
    detail: Detail,
}

/// What the script is asked to do with one client.
#[derive(Debug)]
pub(crate) struct Call {
    /// The account's first; then those that ids may be in, then others.
    keys: Vec<Key>,
    places_of_ids: usize,
    pub(crate) expected: String,
    /// The caller has written the head.
    pub(crate) is_own: bool,
    /// The version to be; empty where nothing is to be written.
    pub(crate) new: String,
    /// Who asks, where it keeps to turns, and how often it was passed over.
    pub(crate) token: Option<(Token, u8)>,
    /// What becomes of its turn after this, should others wait.
    pub(crate) going: Going,
    /// The queue whose first it has waited for in vain.
    in_vain: Option<Queue>,
    /// Ids that must not be there; those that may have been made last.
    absent: Vec<OperationId>,
    /// How many may have been made.
    made: usize,
    /// Each: name, place of its key, words.
    increments: Vec<(&'static str, usize, Vec<String>)>,
    commands: Vec<(&'static str, usize, Vec<String>)>,
    /// The account as it is to be, or what is added to it; none where it is not written.
    account: Option<AccountText>,
}

/// What the script answered.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Written, or confirmed.
    Done {
        /// Others wait for their turn.
        others_wait: bool,
    },
    /// It is another's turn; nothing was written.
    Queued(Queue),
    /// Nothing was written: this is how it stands.
    Changed(Box<Changed>),
}

/// The account as it is, and what the ids that were asked for are kept with.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The version that the call expected.
    pub(crate) expected: String,
    /// It was slower than another, and does again what it keeps to turns for.
    pub(crate) comes_again: bool,
    texts: Vec<String>,
    /// The key and what the id's field there tells.
    pub(crate) found: Vec<(OperationId, Option<(Key, KeptIds)>)>,
}

impl Changed {
    /// Whether the account is at another version than the call expected, and not only ids were found.
    pub(crate) fn is_other(&self) -> bool {
        self.version() != self.expected
    }

    pub(crate) fn version(&self) -> &str {
        self.texts.first().map(|head| version_of(head)).unwrap_or_default()
    }

    /// # Errors
    /// Where the account cannot be read.
    pub(crate) fn stored(&self, settings: &Settings) -> Result<Stored, StoreError> {
        Stored::read(&self.texts, settings)
    }
}

impl Call {
    /// Confirms a version, where these keys may hold ids, newest first.
    pub(crate) fn new(expected: &str, with_ids: impl IntoIterator<Item = Key>) -> Self {
        let keys: Vec<Key> = std::iter::once(Key::Account).chain(with_ids).collect();
        let places_of_ids = keys.len().saturating_sub(1);
        Self {
            keys,
            places_of_ids,
            expected: expected.to_owned(),
            is_own: false,
            new: String::new(),
            token: None,
            going: Going::Ends,
            in_vain: None,
            absent: Vec::new(),
            made: 0,
            increments: Vec::new(),
            commands: Vec::new(),
            account: None,
        }
    }

    /// Reads the account.
    pub(crate) fn read() -> Self {
        Self::new(UNREAD, [])
    }

    /// Reads the account in turn, and passes over who was waited for in vain.
    pub(crate) fn in_turn(token: (Token, u8), in_vain: Option<&Queue>) -> Self {
        Self { token: Some(token), in_vain: in_vain.cloned(), ..Self::read() }
    }

    /// Ids that must not be there.
    pub(crate) fn look_for(&mut self, ids: impl IntoIterator<Item = OperationId>) {
        let (mut given, made): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| !may_be_made(id));
        self.made = made.len();
        given.extend(made);
        self.absent = given;
    }

    pub(crate) const fn looks_for_ids(&self) -> bool {
        !self.absent.is_empty()
    }

    /// The ids that must not be there, and the keys that they may be in; none where they may stand there under other names than their own, or
    /// are many.
    pub(crate) fn absent(&self) -> Option<(&[OperationId], &[Key])> {
        let keys = self.keys.get(1..)?.get(..self.places_of_ids)?;
        let are_few = self.absent.len().saturating_mul(keys.len()) <= FEW;
        (self.made == 0 && are_few).then_some((&self.absent, keys))
    }

    /// The ids that were looked for.
    pub(crate) fn looked_for(self) -> Vec<OperationId> {
        self.absent
    }

    fn place(&mut self, key: Key) -> usize {
        let place = self.keys.iter().position(|known| *known == key);
        let place = place.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len().saturating_sub(1)
        });
        place.saturating_add(1)
    }

    /// Adds pairs of fields and numbers to a hash.
    pub(crate) fn increment(&mut self, key: Key, pairs: Vec<String>) {
        let place = self.place(key);
        self.increments.push(("HINCRBY", place, pairs));
    }

    /// A command with any number of words, an even one where they are pairs.
    pub(crate) fn command(&mut self, name: &'static str, key: Key, words: Vec<String>) {
        let place = self.place(key);
        if words.len() <= WORDS {
            return self.commands.push((name, place, words));
        }
        self.commands.extend(words.chunks(WORDS).map(|some| (name, place, some.to_vec())));
    }

    /// Puts fields and values into a hash, which expires in so many milliseconds if this commit makes it. It stands in
    /// no increment.
    pub(crate) fn set_for_a_while(&mut self, key: Key, millis: &str, words: Vec<String>) {
        self.for_a_while(HSETPX, key, millis, words);
    }

    /// Adds scores and members to a sorted set, which expires so too.
    pub(crate) fn add_for_a_while(&mut self, key: Key, millis: &str, words: Vec<String>) {
        self.for_a_while(ZADDPX, key, millis, words);
    }

    fn for_a_while(&mut self, name: &'static str, key: Key, millis: &str, mut words: Vec<String>) {
        let place = self.place(key);
        while !words.is_empty() {
            let rest = words.split_off(words.len().min(WORDS));
            let some = std::iter::once(millis.to_owned()).chain(std::mem::replace(&mut words, rest)).collect();
            self.commands.push((name, place, some));
        }
    }

    /// Puts this in the account's place, or adds it to that.
    pub(crate) fn write_account(&mut self, text: AccountText) {
        self.new = text.version().to_owned();
        self.account = Some(text);
    }

    /// What is known of the account's list, where this was written, behind what was known `before`; nothing of one that this takes away.
    pub(crate) fn written(self, before: &State, others_wait: bool) -> State {
        self.account.map(|text| before.with(text)).unwrap_or_default().among(others_wait)
    }

    /// Nothing is written but the account.
    pub(crate) const fn is_of_account(&self) -> bool {
        self.commands.is_empty() && self.increments.is_empty()
    }

    fn arguments(&self, keys: &ClientKeys, command: &mut Cmd) {
        command.arg(self.keys.len());
        for key in &self.keys {
            command.arg(keys.name(*key));
        }
        command.arg(&self.expected).arg(&self.new).arg(self.kinds()).arg(self.turn()).arg(self.absent.len());
        if !self.absent.is_empty() {
            command.arg(self.places_of_ids).arg(self.made);
        }
        for id in &self.absent {
            command.arg(id.as_str());
        }
        for (name, place, words) in self.increments.iter().chain(&self.commands) {
            command.arg(*name).arg(*place).arg(words.len()).arg(words);
        }
        if let Some(text) = &self.account {
            let name = match (text.is_added(), self.is_own) {
                (false, _) => "ACCOUNT",
                (true, false) => "ADDED",
                (true, true) => "ADDED_TO_OWN",
            };
            command.arg(name).arg(text.contents());
        }
    }

    /// Who asks, whether its turn goes on, and whom it passes over.
    fn turn(&self) -> Vec<u8> {
        let Some((token, passed)) = self.token else { return Vec::new() };
        let going = match self.going {
            Going::Ends => b'-',
            Going::On => b'+',
            Going::OnAtOnce => b'!',
        };
        token.standing(passed).chain([going]).chain(self.in_vain.iter().flat_map(Queue::passed)).collect()
    }

    /// How the script is to test each key: not where another test finds it out.
    fn kinds(&self) -> String {
        let looked_in = if self.absent.is_empty() { 0 } else { self.places_of_ids };
        let mut is_tested: Vec<bool> = (0..self.keys.len()).map(|number| number > looked_in).collect();
        let mut note = |place: usize, tested: bool| {
            if let Some(is_tested) = is_tested.get_mut(place.saturating_sub(1)) {
                *is_tested = tested;
            }
        };
        // A key that may be made by this is told from one that is there.
        for (_, place, _) in self.commands.iter().filter(|(name, ..)| ["PEXPIRE", HSETPX, ZADDPX].contains(name)) {
            note(*place, true);
        }
        for (_, place, _) in &self.increments {
            note(*place, false);
        }
        let kinds = self.keys.iter().zip(is_tested).map(|(key, tested)| if tested { key.kind() } else { '-' });
        kinds.skip(1).collect()
    }

    /// The key, and what is told of it.
    fn place_of<'a>(&self, told: &'a str) -> Option<(Key, &'a str)> {
        let (place, told) = told.split_once(' ')?;
        let place = place.parse::<usize>().ok()?.checked_sub(1)?;
        Some((*self.keys.get(place)?, told))
    }

    fn outcome(&self, answer: Value) -> Result<Outcome, StoreError> {
        if let Value::Int(done @ 1..=2) = answer {
            return Ok(Outcome::Done { others_wait: done == 2 });
        }
        if let Value::BulkString(queue) = &answer {
            return Queue::read(queue).map(Outcome::Queued).ok_or_else(|| unexpected(&answer));
        }
        let mut values = array(answer)?.into_iter();
        let list = texts(values.next().unwrap_or_default())?;
        let mut found = Vec::with_capacity(self.absent.len());
        for id in &self.absent {
            let value = match text(values.next().unwrap_or_default())? {
                None => None,
                Some(told) => {
                    let (key, told) = self.place_of(&told).ok_or_else(|| unexpected(&Value::Nil))?;
                    Some((key, found_as(id, told)?))
                }
            };
            found.push((id.clone(), value));
        }
        let keeps_to_turns = self.token.is_some() && !(self.new.is_empty() && self.absent.is_empty());
        let mut changed = Changed { expected: self.expected.clone(), comes_again: false, texts: list, found };
        changed.comes_again = keeps_to_turns && changed.is_other();
        Ok(Outcome::Changed(Box::new(changed)))
    }
}

/// What an id's field tells: its value, after its last digit where that is of a block.
fn found_as(id: &OperationId, told: &str) -> Result<KeptIds, StoreError> {
    let (digit, value) = told.split_once(':').ok_or_else(|| unexpected(&Value::Nil))?;
    match (digit, block_of_made(id)) {
        ("", _) => KeptIds::read(id.as_str(), value),
        (digit, Some(block)) => KeptIds::read(&format!("{block}{digit}"), value),
        (_, None) => Err(unexpected(&Value::Nil)),
    }
}

impl CommitScript {
    pub(crate) fn new(detail: Detail) -> Self {
        Self { script: Script::new(include_str!("commit.lua")), put: PutScript::new(), detail }
    }

    pub(crate) fn new_version(&self) -> Version {
        Version::new(self.detail)
    }

    /// The account that is told to who is first in its queue.
    ///
    /// # Errors
    /// Where it cannot be read, or is that of a store which keeps its ledger otherwise.
    pub(crate) fn told(&self, texts: &[String], settings: &Settings) -> Result<Stored, StoreError> {
        check_detail(texts.first().map(|head| version_of(head)).unwrap_or_default(), self.detail)?;
        Stored::read(texts, settings)
    }

    /// Calls the script by its digest, and with its text where the server does not know it. Nothing else is tried again.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] where nothing is written whatever became of the call.
    pub(crate) async fn call(
        &self,
        gathering: &Gathering<'_>,
        keys: &ClientKeys,
        call: &Call,
        wait: Option<(usize, std::time::Duration)>,
    ) -> Result<Outcome, StoreError> {
        let writes = !call.new.is_empty();
        let wait = wait.filter(|_| writes);
        let mut command = Cmd::with_capacity(ARGUMENTS, BYTES);
        call.arguments(keys, command.arg("EVALSHA").arg(self.script.get_hash()));
        let mut called = run(gathering, command, wait).await;
        if called.as_ref().is_err_and(CallError::is_no_script) {
            let mut command = redis::cmd("EVAL");
            call.arguments(keys, command.arg(include_str!("commit.lua")));
            called = run(gathering, command, wait).await;
        }
        let of = if writes { CallError::of_write } else { CallError::of_read };
        let (answer, replicas) = called.map_err(of)?;
        let outcome = call.outcome(answer)?;
        if let Outcome::Changed(changed) = &outcome {
            check_detail(changed.version(), self.detail)?;
        }
        match (wait, &outcome) {
            (Some((wanted, _)), Outcome::Done { .. }) if replicas < i64::try_from(wanted).unwrap_or(i64::MAX) => {
                let message = format!("it is written, and on {replicas} replicas of the {wanted} wanted");
                Err(StoreError::Unknown { message, source: None })
            }
            _ => Ok(outcome),
        }
    }
}

async fn run(
    gathering: &Gathering<'_>,
    command: Cmd,
    wait: Option<(usize, std::time::Duration)>,
) -> Result<(Value, i64), CallError> {
    match wait {
        Some(wait) => Box::pin(gathering.wire().call_and_wait(&command, wait)).await,
        None => Ok((gathering.call(command).await?, 0)),
    }
}
