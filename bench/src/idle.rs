//! What clients cost that do nothing.

use std::process::Command;

use anyhow::{Context, bail};

use crate::number::count;
use crate::ours::{DAY_AND_MONTH, ENOUGH, Ours, names, plan};
use crate::process::resident_kilobytes;
use crate::row::{Goal, IN_MEMORY, Measured, Row};

const CLIENTS: usize = 1_000_000;

/// Memory of clients that were charged once each, measured in a process of its own.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let output = Command::new(std::env::current_exe()?).arg("--child-idle").output().context("the child process")?;
    if !output.status.success() {
        bail!("the child process: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let kilobytes: usize = String::from_utf8(output.stdout)?.trim().parse().context("the child's answer")?;
    let measured = Measured { value: count(kilobytes) / 1_000.0, unit: "MB" };
    let name = "1,000,000 idle clients, 2 quotas, charged once each";
    Ok(vec![Row::new("memory, idle clients", name, IN_MEMORY, measured).goal(Goal::AtMost(300.0))])
}

/// The child: prints by how many kilobytes (of 1,000 bytes) its resident memory grew.
pub(crate) fn child() -> anyhow::Result<()> {
    // Texts and ids are there before and after, so they do not count.
    let ours = Ours::new(&names(CLIENTS), plan(&DAY_AND_MONTH, ENOUGH)?)?;
    let before = resident_kilobytes("self")?;
    ours.charge_each()?;
    let grown = resident_kilobytes("self")?.saturating_sub(before);
    println!("{grown}");
    drop(ours);
    Ok(())
}
