//! Where a cluster's node sends those that ask it for what it does not serve.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use crate::call_error::CallError;
use crate::slot_map::Place;

/// Where a command is to be sent that a node has not served: nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// To the node that has the slot now.
    Moved(Place),
    /// To the node that the slot is on the way to; the slots are as they were.
    Asked(Place),
    /// To whoever has the slot in a moment.
    Later,
}

impl Elsewhere {
    /// As the node at `by` has answered a message; none where it has served it, or nobody knows whether it has.
    pub(crate) fn of(answers: &[Result<Value, CallError>], by: Option<&Place>) -> Option<Self> {
        // Within a transaction the first that is refused says why.
        match answers.iter().find(|answer| !is_of_transaction(answer))? {
            Ok(_) | Err(CallError::Lost(_)) => None,
            Err(CallError::NotSent(_)) => Some(Self::Later),
            Err(CallError::Refused(error)) => Self::told(error, by),
        }
    }

    fn told(error: &RedisError, by: Option<&Place>) -> Option<Self> {
        let place = || Place::redirected(error.redirect_node()?.0, by?);
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => Some(place().map_or(Self::Later, Self::Moved)),
            ErrorKind::Server(ServerErrorKind::Ask) => Some(place().map_or(Self::Later, Self::Asked)),
            ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::ExecAbort
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain,
            ) => Some(Self::Later),
            _ => None,
        }
    }
}

/// Whether it is the answer to `MULTI`, or of a command that waits for `EXEC`.
fn is_of_transaction(answer: &Result<Value, CallError>) -> bool {
    match answer {
        Ok(Value::Okay) => true,
        Ok(Value::SimpleString(text)) => text == "QUEUED",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Result<Value, CallError> {
        let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        value.extract_error().map_err(CallError::sent)
    }

    fn place(text: &str) -> Place {
        Place::redirected(text, &Place::redirected("by:1", &seed()).unwrap()).unwrap()
    }

    fn seed() -> Place {
        Place::of(&redis::ConnectionAddr::Tcp("seed".to_owned(), 7)).unwrap()
    }

    #[test]
    fn a_redirection_names_a_node() {
        let by = place("by:1");
        for (text, expected) in [
            ("MOVED 5 other:2", Some(Elsewhere::Moved(place("other:2")))),
            ("MOVED 5 :2", Some(Elsewhere::Moved(place("by:2")))),
            ("ASK 5 other:2", Some(Elsewhere::Asked(place("other:2")))),
            ("MOVED 5", Some(Elsewhere::Later)),
            ("CLUSTERDOWN Hash slot not served", Some(Elsewhere::Later)),
            ("EXECABORT Transaction discarded because of previous errors.", Some(Elsewhere::Later)),
            ("LOADING Redis is loading", Some(Elsewhere::Later)),
            ("READONLY You can't write", Some(Elsewhere::Later)),
            ("TRYAGAIN Multiple keys", Some(Elsewhere::Later)),
            ("OOM command not allowed", None),
            ("NOPERM no", None),
            ("ERR odd", None),
        ] {
            assert_eq!(Elsewhere::of(&[refused(text)], Some(&by)), expected, "{text}");
        }
    }

    #[test]
    fn what_was_never_sent_is_sent_later_and_what_may_be_done_is_not_sent_again() {
        let timeout = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert_eq!(Elsewhere::of(&[Err(CallError::NotSent(timeout()))], None), Some(Elsewhere::Later));
        assert_eq!(Elsewhere::of(&[Err(CallError::Lost(timeout()))], None), None);
        // The commit is done, whatever becomes of the wait for replicas.
        assert_eq!(Elsewhere::of(&[Ok(Value::Int(1)), refused("LOADING")], None), None);
        assert_eq!(Elsewhere::of(&[], None), None);
    }

    #[test]
    fn a_transaction_is_where_its_first_refused_command_is() {
        let queued = || Ok(Value::SimpleString("QUEUED".to_owned()));
        let answers = [Ok(Value::Okay), queued(), refused("MOVED 5 other:2"), refused("EXECABORT discarded")];
        assert_eq!(Elsewhere::of(&answers, Some(&seed())), Some(Elsewhere::Moved(place("other:2"))));
        assert_eq!(Elsewhere::of(&[Ok(Value::Okay), queued(), Ok(Value::Array(Vec::new()))], None), None);
    }
}
