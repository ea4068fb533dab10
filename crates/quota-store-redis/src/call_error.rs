//! Why a server did not answer.

use quota_service::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

/// What a commit's error begins with that was stopped after its first write.
pub(crate) const TORN: &str = "TORN";

/// Why a server did not answer a command.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// There was no connection: the command was never sent.
    NotSent(RedisError),
    /// The server refused the command. Scripts test everything before they write, so nothing was done, but where it is
    /// [`TORN`].
    Refused(RedisError),
    /// It was sent and not answered, or it cannot be told.
    Lost(RedisError),
}

impl CallError {
    /// What became of a command that was sent.
    pub(crate) fn sent(error: RedisError) -> Self {
        if error.code().is_some() { Self::Refused(error) } else { Self::Lost(error) }
    }

    /// What became of each of so many commands that were sent in one message. (The driver's own way makes one error of
    /// all that the server has refused, and nobody can tell then what became of the others.)
    pub(crate) fn each(answered: Result<Vec<Value>, RedisError>, count: usize) -> Vec<Result<Value, Self>> {
        match answered {
            Ok(values) => values.into_iter().map(|value| value.extract_error().map_err(Self::sent)).collect(),
            Err(error) => vec![Err(Self::sent(error)); count],
        }
    }

    /// There are fewer answers than commands.
    pub(crate) fn unanswered() -> Self {
        Self::Lost(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
    }

    /// The server does not know the script.
    pub(crate) fn is_no_script(&self) -> bool {
        matches!(self, Self::Refused(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
    }

    /// The connection is of no more use: broken, silent, or to a server that is no primary any more.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Self::NotSent(_) => false,
            Self::Refused(error) => error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly),
            Self::Lost(_) => true,
        }
    }

    /// As the error of a command that writes.
    pub(crate) fn of_write(self) -> StoreError {
        match self {
            Self::Refused(error) | Self::Lost(error) if error.code() == Some(TORN) => {
                StoreError::unknown("the user lost a right in the midst of the commit", error)
            }
            Self::Lost(error) => StoreError::unknown("the server did not answer the commit", error),
            other => other.of_read(),
        }
    }

    /// As the error of a command that only reads.
    pub(crate) fn of_read(self) -> StoreError {
        match self {
            Self::NotSent(error) => StoreError::not_done("there is no connection to the server", error),
            Self::Refused(error) => {
                let code = error.code().unwrap_or_default();
                if code == "FOREIGN" || code == "WRONGTYPE" {
                    return StoreError::corrupt("a key is not of this store's making", error);
                }
                StoreError::not_done("the server refused the command", error)
            }
            Self::Lost(error) => StoreError::not_done("the server did not answer", error),
        }
    }
}

impl From<CallError> for RedisError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(error) | CallError::Refused(error) | CallError::Lost(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_was_stopped_in_its_midst_is_not_known_and_one_that_was_refused_is_not_done() {
        let refused = |code: &str| CallError::sent(redis::make_extension_error(code.to_owned(), None)).of_write();
        assert!(matches!(refused(TORN), StoreError::Unknown { .. }));
        for code in ["NOPERM", "ERR", "OOM", "MISCONF", "READONLY"] {
            assert!(matches!(refused(code), StoreError::NotDone { .. }), "{code}");
        }
        assert!(matches!(refused("FOREIGN"), StoreError::Corrupt { .. }));
        assert!(matches!(CallError::unanswered().of_write(), StoreError::Unknown { .. }));
    }
}
