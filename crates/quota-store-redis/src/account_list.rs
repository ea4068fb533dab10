//! The list that an account is kept in.

use quota_core::{Account, Instant};
use quota_service::StoreError;
use redis::Cmd;

use crate::entry_text::corrupt;
use crate::keys::{ClientKeys, Key};
use crate::open_entries::OpenEntries;
use crate::reading::command;
use crate::settings::Settings;
use crate::stored::Memory;
use crate::version::{VERSION, version_of};

/// Stands before the account's document and each text beside it, or before what was added. No text holds it.
pub(crate) const AND: char = '\u{4}';

/// Begins, behind an [`AND`], what was added. No document does.
const ADDED: char = '+';

/// Bytes that stand between a version and what was added, at most.
const MOST: usize = 24;

/// The texts of the list that an account is kept in.
///
/// Each begins with its version, a random token (a counter would come round again after a flush or a failover), and who waits for a
/// turn, or a dash where it is no head any more and whoever has written it was not told so. A snapshot has the account's document then,
/// and what stands beside it. What was added since stands before it, each time the entries of one commit. The head is the account as it is
/// now. What stands behind the first snapshot counts for nobody.
pub(crate) struct AccountList<'a> {
    /// None where there is no account.
    snapshot: Option<&'a str>,
    /// The oldest first.
    added: Vec<Added<'a>>,
}

/// What one commit has added.
struct Added<'a> {
    latest: Instant,
    entries: &'a str,
}

impl<'a> AccountList<'a> {
    pub(crate) fn read(texts: &'a [String]) -> Result<Self, StoreError> {
        let mut list = Self { snapshot: None, added: Vec::new() };
        for text in texts {
            let contents = text.get(VERSION..).and_then(|rest| Some(rest.split_once(AND)?.1));
            let contents = contents.ok_or_else(|| corrupt("an account", text))?;
            let Some(added) = contents.strip_prefix(ADDED) else {
                list.snapshot = Some(contents);
                break;
            };
            list.added.push(Added::read(added).ok_or_else(|| corrupt("what was added to an account", text))?);
        }
        if list.snapshot.is_none() && !texts.is_empty() {
            return Err(corrupt("an account", &texts.concat()));
        }
        list.added.reverse();
        Ok(list)
    }

    /// The account at its version.
    pub(crate) fn account(&self) -> Result<Account, StoreError> {
        let Some(snapshot) = self.snapshot else { return Ok(Account::new()) };
        let document = snapshot.split_once(AND).map_or(snapshot, |(document, _)| document);
        let mut account = Account::from_document(document)?;
        for added in &self.added {
            account.add_entries(&OpenEntries::read(added.entries)?.entries(), added.latest);
        }
        Ok(account)
    }

    /// The plan's version, a blank and the plan; empty where there is none.
    pub(crate) fn plan(&self) -> &'a str {
        self.snapshot.and_then(|snapshot| snapshot.split(AND).nth(Memory::TEXTS)).unwrap_or_default()
    }

    /// What stands beside it.
    pub(crate) fn memory(&self, settings: &Settings) -> Result<Memory, StoreError> {
        let Some(snapshot) = self.snapshot else { return Ok(Memory::default()) };
        let mut parts = snapshot.split(AND).skip(1);
        let texts = std::array::from_fn(|_| parts.next());
        let whole = texts.iter().all(Option::is_some) && parts.next().is_none();
        if !whole {
            return Err(corrupt("what stands beside an account", snapshot));
        }
        let mut memory = Memory::read(texts.map(Option::unwrap_or_default))?;
        for added in &self.added {
            let entries = OpenEntries::read(added.entries)?;
            if !memory.add_open(entries, settings) {
                return Err(corrupt("what was added to an account", added.entries));
            }
        }
        Ok(memory)
    }
}

impl<'a> Added<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (latest, entries) = text.split_once(' ')?;
        Some(Self { latest: Instant::from_millis(latest.parse().ok()?).ok()?, entries })
    }
}

/// Reads the list.
pub(crate) fn list_command(keys: &ClientKeys) -> Cmd {
    let mut command = command("LRANGE", keys, Key::Account);
    command.arg(0).arg(-1);
    command
}

/// What a commit writes of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountText {
    text: String,
    is_added: bool,
}

impl AccountText {
    pub(crate) fn snapshot(version: &str, account: &Account, memory: &Memory) -> Self {
        let (document, texts) = (account.to_document(), memory.write());
        let length = texts.iter().fold(document.len(), |sum, text| sum.saturating_add(text.len()).saturating_add(1));
        let mut text = String::with_capacity(length.saturating_add(VERSION).saturating_add(1));
        text.push_str(version);
        for part in std::iter::once(document.as_str()).chain(texts.iter().map(AsRef::as_ref)) {
            text.push(AND);
            text.push_str(part);
        }
        Self { text, is_added: false }
    }

    /// What a commit has added.
    pub(crate) fn added(version: &str, latest: Instant, entries: &OpenEntries) -> Self {
        use std::fmt::Write;

        let mut text = String::with_capacity(version.len().saturating_add(entries.as_str().len()).saturating_add(MOST));
        // Into memory: it cannot fail.
        let _ = write!(text, "{version}{AND}{ADDED}{} {}", latest.millis(), entries.as_str());
        Self { text, is_added: true }
    }

    pub(crate) fn version(&self) -> &str {
        version_of(&self.text)
    }

    pub(crate) const fn is_added(&self) -> bool {
        self.is_added
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// What is behind the version.
    pub(crate) fn contents(&self) -> &str {
        self.text.get(VERSION..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use quota_core::{Detail, Entry, Label, OperationId};

    use super::*;
    use crate::keys::day_of;
    use crate::open_entries::IdField;

    const NOON: i64 = 1_710_504_000_000;

    fn settings() -> Settings {
        Settings::of_tests(Detail::Quarters)
    }

    fn version(letter: char) -> String {
        std::iter::repeat_n(letter, VERSION).collect()
    }

    fn entry(id: &str, later: i64) -> Entry {
        Entry {
            id: Some(OperationId::new(id).unwrap()),
            at: Instant::from_millis(NOON + later).unwrap(),
            credits: "2.5".parse().unwrap(),
            label: Some(Label::new("l").unwrap()),
        }
    }

    /// What a commit adds, and the account and what stands beside it as they are then.
    fn add(entries: &[Entry], account: &mut Account, memory: &mut Memory) -> OpenEntries {
        let mut open = OpenEntries::default();
        for entry in entries {
            let (id, at, micros) = (entry.id.as_ref().unwrap(), entry.at.millis(), entry.credits.micros());
            let value = format!("{at} {at} {micros} l");
            let (key, field) = (Key::Ids(day_of(at)), id.as_str().to_owned());
            assert!(open.extend(&[IdField { key, field, value }]));
        }
        account.add_entries(entries, entries.last().unwrap().at);
        assert!(memory.add_open(open.clone(), &settings()));
        open
    }

    fn read(texts: &[String]) -> (Account, Memory) {
        let list = AccountList::read(texts).unwrap();
        (list.account().unwrap(), list.memory(&settings()).unwrap())
    }

    #[test]
    fn an_account_is_its_snapshot_and_what_was_added_since() {
        let (mut account, mut memory) = (Account::new(), Memory::default());
        memory.plan = "7 []".to_owned();
        add(&[entry("a", 0)], &mut account, &mut memory);
        let snapshot = AccountText::snapshot(&version('s'), &account, &memory).into_string();
        let mut texts = vec![snapshot, "what stands behind it".to_owned()];
        assert_eq!(read(&texts), (account.clone(), memory.clone()));
        for (letter, later) in [('t', 5), ('u', 5), ('v', 9)] {
            let entries = [entry(&format!("{letter}1"), later), entry(&format!("{letter}2"), later)];
            let open = add(&entries, &mut account, &mut memory);
            let added = AccountText::added(&version(letter), account.latest(), &open);
            assert_eq!((added.version(), added.is_added()), (version(letter).as_str(), true));
            texts.insert(0, added.into_string());
            assert_eq!(read(&texts), (account.clone(), memory.clone()));
        }
        assert_eq!(account.recorded(), "17.5".parse().unwrap());
        assert_eq!(memory.ids.since(0), 7);
        assert_eq!(AccountList::read(&texts).unwrap().plan(), "7 []");
    }

    #[test]
    fn who_waits_is_no_part_of_the_account() {
        let (mut account, mut memory) = (Account::new(), Memory::default());
        let crowded = |text: String| [&text[..VERSION], "01234560", &text[VERSION..]].concat();
        let snapshot = AccountText::snapshot(&version('s'), &account, &memory).into_string();
        let open = add(&[entry("a", 0)], &mut account, &mut memory);
        let added = AccountText::added(&version('t'), account.latest(), &open).into_string();
        let passed = |text: String| [&text[..VERSION], "-", &text[VERSION..]].concat();
        assert_eq!(read(&[crowded(added), passed(snapshot)]), (account, memory));
    }

    #[test]
    fn half_an_account_is_corrupt() {
        let (mut account, mut memory) = (Account::new(), Memory::default());
        let snapshot = AccountText::snapshot(&version('s'), &account, &memory).into_string();
        let open = add(&[entry("a", 0)], &mut account, &mut memory);
        let added = AccountText::added(&version('t'), account.latest(), &open).into_string();
        let damaged = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            AccountList::read(&texts).and_then(|list| list.memory(&settings()).and_then(|_| list.account())).is_err()
        };
        assert!(!damaged(&[&added, &snapshot]) && !damaged(&[]));
        for texts in [
            vec![""],
            vec!["x"],
            vec![&added],
            vec![&added, &added],
            vec![&snapshot[..VERSION]],
            vec![&snapshot[..snapshot.len() - 1]],
            vec![&added[..added.len() - 4], &snapshot],
            vec![&added[..VERSION + 4], &snapshot],
        ] {
            assert!(damaged(&texts), "{texts:?}");
        }
        assert!(read(&[]).0.is_blank());
    }
}
