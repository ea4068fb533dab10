//! A commit that writes nothing but the account.

use quota_service::StoreError;
use redis::{Cmd, Value};

use crate::call_error::CallError;
use crate::gathering::Gathering;
use crate::keys::{ClientKeys, Key};

/// Puts a text before the head of an account's list, by a command of the server's own: of what a script costs the server it costs a fifth.
/// Says whether it is there; it is the head then.
///
/// `LINSERT` compares texts as a whole, and each begins with a version of its own. Only whoever has written a head and was told so stands a
/// text before it like this, once ([`crate::state::State::may_be_stood_before`]); the script, by which all others write, leaves no head of
/// theirs as it was. So a head that is found is the head still. How long the list is then only confirms it.
///
/// What the server has refused is not done either: the script is refused as well, and says why.
///
/// # Errors
/// [`StoreError::NotDone`] where it was not sent, [`StoreError::Unknown`] where it is not answered, or two have written.
pub(crate) async fn put_before(
    gathering: &Gathering<'_>,
    keys: &ClientKeys,
    (head, texts): (&str, usize),
    text: &str,
) -> Result<bool, StoreError> {
    let key = keys.name(Key::Account);
    let bytes = head.len().saturating_add(text.len()).saturating_add(key.len());
    let mut insert = Cmd::with_capacity(5, bytes.saturating_add(16));
    insert.arg("LINSERT").arg(&key).arg("BEFORE").arg(head).arg(text);
    match gathering.call(insert).await {
        Ok(Value::Int(..=0)) | Err(CallError::Refused(_)) => Ok(false),
        Ok(Value::Int(now)) if usize::try_from(now) == Ok(texts.saturating_add(1)) => Ok(true),
        Ok(_) => Err(StoreError::Unknown { message: WRITTEN_BY_TWO.to_owned(), source: None }),
        Err(error) => Err(error.of_write()),
    }
}

/// As where a machine was copied while it ran: both take the head for their own.
const WRITTEN_BY_TWO: &str =
    "the account has other texts than this store has seen, though nobody else can have written there";
