//! A commit that writes nothing but the account.

use quota_core::OperationId;
use quota_service::StoreError;
use redis::{Cmd, Script, Value};

use crate::call_error::CallError;
use crate::client_run::ClientRun;
use crate::gathering::Gathering;
use crate::keys::{ClientKeys, Key};

/// Puts a text before the head of an account's list, if none of some ids is in one of some keys.
#[derive(Debug)]
pub(crate) struct PutScript(Script);

const PUT: &str = include_str!("put.lua");

/// Puts a text before the head of an account's list, by a command of the server's own: of what a script costs the server it costs a fifth.
/// Says whether it is there; it is the head then.
///
/// `LINSERT` compares texts as a whole, and each begins with a version of its own. Only whoever has written a head and was told so stands a
/// text before it like this, once ([`crate::state::State::may_be_stood_before`]); the script, by which all others write, leaves no head of
/// theirs as it was. So a head that is found is the head still. How long the list is then only confirms it.
///
/// Where ids must not be there, a script of no more than that looks for them in the same step.
///
/// What the server has refused is not done either: the script is refused as well, and says why.
///
/// # Errors
/// [`StoreError::NotDone`] where it was not sent, [`StoreError::Unknown`] where it is not answered, or two have written.
pub(crate) async fn put_before(
    run: &ClientRun<'_>,
    (head, texts): (&str, usize),
    text: &str,
    absent: (&[OperationId], &[Key]),
) -> Result<bool, StoreError> {
    let ClientRun { gathering, script, keys, .. } = run;
    let answer = if absent.0.is_empty() {
        gathering.call(insert(&keys.name(Key::Account), head, text)).await
    } else {
        script.put.call(gathering, keys, (head, text), absent).await
    };
    match answer {
        Ok(Value::Int(..=0)) | Err(CallError::Refused(_)) => Ok(false),
        Ok(Value::Int(now)) if usize::try_from(now) == Ok(texts.saturating_add(1)) => Ok(true),
        Ok(_) => Err(StoreError::Unknown { message: WRITTEN_BY_TWO.to_owned(), source: None }),
        Err(error) => Err(error.of_write()),
    }
}

impl PutScript {
    pub(crate) fn new() -> Self {
        Self(Script::new(PUT))
    }

    /// Calls it by its digest, and with its text where the server does not know it.
    async fn call(
        &self,
        gathering: &Gathering<'_>,
        keys: &ClientKeys,
        (head, text): (&str, &str),
        (ids, with_ids): (&[OperationId], &[Key]),
    ) -> Result<Value, CallError> {
        let arguments = |mut command: Cmd| {
            command.arg(with_ids.len().saturating_add(1)).arg(keys.name(Key::Account));
            for key in with_ids {
                command.arg(keys.name(*key));
            }
            command.arg(head).arg(text);
            for id in ids {
                command.arg(id.as_str());
            }
            command
        };
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.0.get_hash());
        match gathering.call(arguments(command)).await {
            Err(error) if error.is_no_script() => {
                let mut command = redis::cmd("EVAL");
                command.arg(PUT);
                gathering.call(arguments(command)).await
            }
            answer => answer,
        }
    }
}

fn insert(key: &str, head: &str, text: &str) -> Cmd {
    let bytes = head.len().saturating_add(text.len()).saturating_add(key.len());
    let mut insert = Cmd::with_capacity(5, bytes.saturating_add(16));
    insert.arg("LINSERT").arg(key).arg("BEFORE").arg(head).arg(text);
    insert
}

/// As where a machine was copied while it ran: both take the head for their own.
const WRITTEN_BY_TWO: &str =
    "the account has other texts than this store has seen, though nobody else can have written there";
