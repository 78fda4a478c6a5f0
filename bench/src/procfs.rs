//! CPU time and memory of whole process trees, read from /proc.

use std::{collections::HashMap, fs};

use anyhow::{Context, Result};
use serde::Serialize;

/// CPU time of one process: its own and that of children it has waited for, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Stat {
    parent: u32,
    own_us: u64,
    reaped_us: u64,
}

/// Resident memory of a process tree in kilobytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident_kb: u64,
    /// The sum of the peaks since each process started.
    pub(crate) peak_kb: u64,
}

/// User plus system time of `root`, its living descendants and the descendants they have reaped, in microseconds.
pub(crate) fn tree_cpu_us(root: u32) -> Result<u64> {
    let table = table()?;
    let cpu = tree(&table, root)
        .filter_map(|pid| table.get(&pid))
        .map(|stat| stat.own_us + stat.reaped_us)
        .sum();
    Ok(cpu)
}

/// User plus system time of the children that `pid` has waited for, in microseconds.
pub(crate) fn reaped_cpu_us(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let stat = parse_stat(&text).with_context(|| format!("{path} is unreadable"))?;
    Ok(stat.reaped_us)
}

/// Resident memory of `root` and its descendants.
pub(crate) fn tree_memory(root: u32) -> Result<Memory> {
    let table = table()?;
    let mut memory = Memory::default();
    for pid in tree(&table, root) {
        // A process that ended since the listing has no memory.
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        memory.resident_kb += kilobytes(&status, "VmRSS:");
        memory.peak_kb += kilobytes(&status, "VmHWM:");
    }
    Ok(memory)
}

/// CPU time of the machine that was not idle, in microseconds since boot.
pub(crate) fn machine_busy_us() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let fields: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // user, nice, system, irq, softirq; not idle, iowait, steal, and guest is part of user.
    let busy: u64 = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|at| fields.get(*at))
        .sum();
    Ok(busy * tick_us())
}

fn kilobytes(status: &str, key: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn table() -> Result<HashMap<u32, Stat>> {
    let entries = fs::read_dir("/proc").context("cannot list /proc")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse_stat(&text)?))
        })
        .collect())
}

/// `root` and all below it.
fn tree(table: &HashMap<u32, Stat>, root: u32) -> impl Iterator<Item = u32> {
    let mut members = vec![root];
    let mut next = 0;
    while let Some(parent) = members.get(next).copied() {
        next += 1;
        members.extend(
            table
                .iter()
                .filter(|(_, stat)| stat.parent == parent)
                .map(|(pid, _)| *pid),
        );
    }
    members.into_iter()
}

/// The command name may hold spaces and parentheses, so fields count from the last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own_us: (ticks(11)? + ticks(12)?) * tick_us(),
        reaped_us: (ticks(13)? + ticks(14)?) * tick_us(),
    })
}

fn tick_us() -> u64 {
    1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_is_skipped() {
        let stat = parse_stat("7 (a ) b) S 3 7 7 0 -1 0 1 0 0 0 10 20 3 4 20 0 1").unwrap();
        assert_eq!(stat.parent, 3);
        assert_eq!(stat.own_us, 30 * tick_us());
        assert_eq!(stat.reaped_us, 7 * tick_us());
    }

    #[test]
    fn this_process_has_memory_and_its_tree_has_cpu_time() {
        let spin = std::time::Instant::now();
        while spin.elapsed().as_millis() < 30 {
            std::hint::spin_loop();
        }
        assert!(tree_memory(std::process::id()).unwrap().resident_kb > 500);
        assert!(tree_cpu_us(std::process::id()).unwrap() > 0);
    }
}
