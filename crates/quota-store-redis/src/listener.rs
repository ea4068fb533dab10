//! How a store hears that it is its turn at an account.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::keys::KeyPrefix;
use crate::node::{Node, Source, Timeouts};
use crate::queue::Token;

/// A connection over which a store hears that it is its turn at an account, made when it first waits for one.
pub(crate) struct Listener {
    /// By what name the store stands in queues.
    pub(crate) token: Token,
    node: Arc<Node>,
    waiters: Arc<Waiters>,
    /// When it was looked after last.
    looked: Mutex<Option<Instant>>,
}

/// Who waits for a turn at which account, by the names of the accounts' keys.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<String, Vec<Teller>>>);

/// The account, where it is this store's turn at it; none where it is to ask.
type Teller = oneshot::Sender<Option<Vec<String>>>;

/// A channel, and who is to hear what is said there.
pub(crate) struct Ear {
    pub(crate) channel: String,
    pub(crate) waiters: Arc<Waiters>,
}

/// A wait for what is said of one account.
pub(crate) struct Hearing {
    account: String,
    waiters: Arc<Waiters>,
    told: oneshot::Receiver<Option<Vec<String>>>,
}

/// How often the connection is looked after at most.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Listener {
    pub(crate) fn new(source: Arc<Source>, timeouts: Timeouts, prefix: &KeyPrefix) -> Self {
        let (token, waiters) = (Token::new(), Arc::<Waiters>::default());
        let ear = Ear { channel: prefix.turns_of(token), waiters: Arc::clone(&waiters) };
        Self { token, node: Arc::new(Node::listening(source, timeouts, ear)), waiters, looked: Mutex::new(None) }
    }

    /// From now on hears of an account; none where there is no connection yet, or the server does not allow this user to listen.
    pub(crate) fn hear(&self, account: String) -> Option<Hearing> {
        if !self.node.is_connected() {
            self.look_after();
            return None;
        }
        Some(self.waiters.hear(account))
    }

    /// Connects, or finds out whether the connection still answers, which one that died in silence does not: beside whoever waits.
    pub(crate) fn look_after(&self) {
        let mut looked = self.looked.lock();
        if looked.is_none_or(|looked| looked.elapsed() >= AGAIN_AFTER) {
            *looked = Some(Instant::now());
            let node = Arc::clone(&self.node);
            tokio::spawn(async move { node.ping().await });
        }
    }
}

impl Waiters {
    fn hear(self: &Arc<Self>, account: String) -> Hearing {
        let (teller, told) = oneshot::channel();
        self.0.lock().entry(account.clone()).or_default().push(teller);
        Hearing { account, waiters: Arc::clone(self), told }
    }
}

impl Hearing {
    /// What is told until then, if anything: the account, where it is this store's turn, or that it is to ask.
    pub(crate) async fn told(&mut self, until: Instant) -> Option<Option<Vec<String>>> {
        timeout_at(until, &mut self.told).await.ok()?.ok()
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.told.close();
        let mut waiters = self.waiters.0.lock();
        if let Some(tellers) = waiters.get_mut(&self.account) {
            // Others may wait as well.
            tellers.retain(|teller| !teller.is_closed());
            if tellers.is_empty() {
                waiters.remove(&self.account);
            }
        }
    }
}

impl Ear {
    pub(crate) fn hear(&self, push: &PushInfo) {
        if push.kind == PushKind::Message
            && let Some(Value::BulkString(message)) = push.data.get(1)
            && let Some((account, texts)) = read(message)
            && let Some(tellers) = self.waiters.0.lock().remove(&account)
        {
            // All of them stand in the queue under the store's one name: whoever commits first has the turn, and the others come again.
            for teller in tellers {
                // Who is gone needs no turn.
                let _ = teller.send(texts.clone());
            }
        }
    }
}

/// Separates the texts of an account's list: none holds it.
const NEXT: char = '\u{5}';

/// The name of an account's key, after its length and a colon, and the texts of the list there. Of a large account the name alone.
fn read(message: &[u8]) -> Option<(String, Option<Vec<String>>)> {
    let (length, rest) = str::from_utf8(message).ok()?.split_once(':')?;
    let (account, list) = rest.split_at_checked(length.parse().ok()?)?;
    let texts = (!list.is_empty()).then(|| list.split(NEXT).map(str::to_owned).collect());
    Some((account.to_owned(), texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_an_account_are_told() {
        let waiters = Arc::<Waiters>::default();
        let (mut one, mut other) = (waiters.hear("a".to_owned()), waiters.hear("a".to_owned()));
        drop(waiters.hear("a".to_owned()));
        drop(waiters.hear("b".to_owned()));
        assert_eq!(waiters.0.lock().values().map(Vec::len).collect::<Vec<_>>(), [2]);
        let soon = || Instant::now() + Duration::from_millis(5);
        assert_eq!((one.told(soon()).await, other.told(soon()).await), (None, None), "both wait");
        let ear = Ear { channel: String::new(), waiters: Arc::clone(&waiters) };
        let message = Value::BulkString("1:aab\u{5}c".into());
        ear.hear(&PushInfo { kind: PushKind::Message, data: vec![Value::Nil, message] });
        let told = Some(Some(vec!["ab".to_owned(), "c".to_owned()]));
        assert_eq!((one.told(soon()).await, other.told(soon()).await), (told.clone(), told));
        assert!(waiters.0.lock().is_empty());
    }

    #[test]
    fn a_message_is_a_name_and_mostly_an_account() {
        let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(read("6:q:{a:}1:v\u{4}".as_bytes()), Some(("q:{a:}".to_owned(), texts(&["1:v\u{4}"]))));
        assert_eq!(read("1:qa\u{5}b".as_bytes()), Some(("q".to_owned(), texts(&["a", "b"]))));
        assert_eq!(read(b"6:q:{a:}"), Some(("q:{a:}".to_owned(), None)));
        for garbled in ["", "-", "9:a", "x:a", "1", ":", "-1:a"] {
            assert!(read(garbled.as_bytes()).is_none(), "{garbled}");
        }
        assert!(read(b"1:\xff").is_none());
    }
}
