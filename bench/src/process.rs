//! What the system tells of a process.

use anyhow::Context;

/// Ticks a second in `/proc`, the same on every Linux.
const TICKS_A_SECOND: u64 = 100;

/// Resident memory in kilobytes of 1,000 bytes; `process` is a number or `self`.
pub(crate) fn resident_kilobytes(process: &str) -> anyhow::Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("/proc is needed")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: usize = line.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(kibibytes.saturating_mul(1_024) / 1_000)
}

/// Microseconds of processor time that a process has used, all threads, its own and the system's.
pub(crate) fn processor_micros(process: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("/proc is needed")?;
    // The name is in parentheses and may hold blanks; user and system time are fields 14 and 15 of all.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let mut ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let mut next = || ticks.next().context("no times in stat");
    Ok((next()?? + next()??) * (1_000_000 / TICKS_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_uses_processor_time_and_memory() {
        let before = processor_micros(std::process::id()).unwrap();
        let began = std::time::Instant::now();
        let mut numbers = 0_u64;
        while began.elapsed().as_millis() < 60 {
            numbers = numbers.wrapping_add(std::hint::black_box(numbers)).wrapping_add(1);
        }
        assert!(processor_micros(std::process::id()).unwrap() > before);
        assert!(resident_kilobytes("self").unwrap() > 100);
    }
}
