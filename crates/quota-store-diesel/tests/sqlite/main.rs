//! The store on real files.

#[cfg(test)]
mod charging;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod pruning;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod removing;
#[cfg(test)]
mod support;
#[cfg(test)]
mod unfinished;
