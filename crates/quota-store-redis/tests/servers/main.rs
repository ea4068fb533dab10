//! What the store promises beside the conformance suite, on servers that refuse it, fail, forget and fail over.

#[cfg(test)]
mod adding;
#[cfg(test)]
mod charging;
#[cfg(test)]
mod deletions;
#[cfg(all(test, feature = "tls"))]
mod encrypting;
#[cfg(test)]
mod expiring;
#[cfg(test)]
mod failing_over;
#[cfg(test)]
mod forgetting;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod load;
#[cfg(test)]
mod looking_up;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod refusing;
#[cfg(test)]
mod remembering;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod resending;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod stalling;
#[cfg(test)]
mod time;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod used_ids;
mod waiting;
