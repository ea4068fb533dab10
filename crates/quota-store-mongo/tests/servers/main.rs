//! What the store on MongoDB promises beside the conformance suite.

#[cfg(test)]
mod behind;
#[cfg(test)]
mod between;
#[cfg(test)]
mod charging;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod collections;
#[cfg(test)]
mod deletions;
#[cfg(test)]
mod dying;
#[cfg(test)]
mod encrypting;
#[cfg(test)]
mod escrow;
#[cfg(test)]
mod escrow_edges;
#[cfg(test)]
mod late;
#[cfg(test)]
mod names;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod pruning;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod refusing;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod restarting;
#[cfg(test)]
mod shards;
#[cfg(test)]
mod time;
#[cfg(test)]
mod together;
#[cfg(test)]
mod used_ids;
