//! Whose a request's idempotency key is.

use crate::metering::request_quota::RequestQuota;

/// That a charge or a hold of a request is made under its idempotency key. Dropped, however that comes about, the key is free for
/// the next one: a charge beside the key would be another one to a client that sends the key again.
#[derive(Debug)]
pub(crate) struct UnderKey {
    quota: RequestQuota,
    is_used_up: bool,
}

impl UnderKey {
    /// None while another charge of the request has it, or where one has used it up.
    pub(crate) fn take(quota: &RequestQuota) -> Option<Self> {
        quota.take_key().then(|| Self { quota: quota.clone(), is_used_up: false })
    }

    /// Something was charged under it: what the request charges from here on is beside it.
    pub(crate) fn use_up(mut self) {
        self.is_used_up = true;
    }
}

impl Drop for UnderKey {
    fn drop(&mut self) {
        if !self.is_used_up {
            self.quota.free_key();
        }
    }
}
