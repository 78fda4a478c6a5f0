//! The comparison run: every scenario on every gateway, round after round, and the accounts after each load.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    accounting, bounds,
    gateways::{Gateway, Kind, Programs},
    machine, measure,
    measure::{Pace, Sample},
    plan::{self, Scenario},
    procfs::{self, Memory},
    records,
    report::{self, Process, Report, Row},
    service::{Service, free_address},
};

/// What to run.
pub(crate) struct Options {
    pub(crate) programs: Programs,
    pub(crate) rounds: usize,
    pub(crate) pace: Pace,
    pub(crate) only: Option<String>,
    /// Directory for ledgers, logs and configurations; emptied at the end.
    pub(crate) work: PathBuf,
}

/// The mock in a process of its own, and the directory that its logs are in.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    _service: Service,
}

impl Upstream {
    pub(crate) fn start(work: &Path) -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
        command.args(["mock", "--address", &address.to_string()]);
        let mut service = Service::spawn("mock", command, &work.join("mock.log"))?;
        service.wait_until_up(address, "/count", Duration::from_secs(10))?;
        Ok(Self {
            address,
            _service: service,
        })
    }
}

/// A run under way.
struct Run<'a> {
    options: &'a Options,
    upstream: Upstream,
    gateways: BTreeMap<Kind, Gateway>,
    idle: BTreeMap<Kind, Memory>,
    answered: BTreeMap<Kind, u64>,
    rows: Vec<Row>,
    equality: Vec<accounting::Equality>,
    notes: Vec<String>,
}

/// Runs everything and gives the report; an error only when something could not be measured at all.
pub(crate) fn run(options: &Options) -> Result<Report> {
    fs::create_dir_all(&options.work)?;
    let machine = machine::describe(&options.work, &options.programs)?;
    let scenarios = plan::scenarios(options.programs.venv.is_some(), options.only.as_deref());
    let mut run = Run {
        options,
        upstream: Upstream::start(&options.work)?,
        gateways: BTreeMap::new(),
        idle: BTreeMap::new(),
        answered: BTreeMap::new(),
        rows: Vec::new(),
        equality: Vec::new(),
        notes: Vec::new(),
    };
    run.start_gateways(&scenarios)?;
    for round in 1..=options.rounds {
        for scenario in &scenarios {
            run.scenario(scenario, round)?;
        }
    }
    let processes = run.processes()?;
    run.count_reference_capsules()?;
    run.gateways.clear();
    run.terminate_under_load()?;
    report::add_ratios(&mut run.rows);
    Ok(Report {
        bounds: bounds::evaluate(&run.rows, &processes, machine.sync),
        machine,
        rounds: options.rounds,
        seconds: options.pace.active.as_secs_f64(),
        rows: run.rows,
        processes,
        equality: run.equality,
        notes: run.notes,
    })
}

impl Run<'_> {
    fn start_gateways(&mut self, scenarios: &[Scenario]) -> Result<()> {
        let mut kinds: Vec<Kind> = scenarios
            .iter()
            .flat_map(|one| one.gateways.clone())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let directory = self
                .options
                .work
                .join(kind.name().replace([' ', ',', '+'], "-"));
            eprintln!("starting {}", kind.name());
            match Gateway::start(
                kind,
                &self.options.programs,
                self.upstream.address,
                &directory,
            )? {
                Some(gateway) => {
                    std::thread::sleep(Duration::from_secs(1));
                    if let Some(pid) = gateway.pid() {
                        self.idle.insert(kind, procfs::tree_memory(pid)?);
                    }
                    self.gateways.insert(kind, gateway);
                }
                None => self
                    .notes
                    .push(format!("{} is not here and was not measured", kind.name())),
            }
        }
        Ok(())
    }

    fn scenario(&mut self, scenario: &Scenario, round: usize) -> Result<()> {
        for kind in &scenario.gateways {
            let Some(gateway) = self.gateways.get(kind) else {
                continue;
            };
            let sealed = match kind {
                Kind::Sealgate
                | Kind::SealgateLogged
                | Kind::SealgateMasked
                | Kind::SealgateGuarded => gateway.data.clone(),
                _ => None,
            };
            let after = sealed.as_deref().map(records::head).transpose()?;
            let sample = measure::measure(
                gateway,
                scenario,
                self.options.pace,
                self.upstream.address,
                &self.options.work,
            )
            .with_context(|| format!("{} on {}", scenario.title(), kind.name()))?;
            tell(scenario, *kind, round, &sample);
            if let (Some(data), Some(after)) = (sealed, after) {
                self.equality.push(accounting::after_load(
                    format!("{}: {}, round {round}", kind.name(), scenario.title()),
                    &data,
                    after,
                    sample.good_with_warm_up,
                    sample.upstream_with_warm_up,
                )?);
            }
            *self.answered.entry(*kind).or_default() += sample.good_with_warm_up;
            self.keep(scenario, *kind, sample);
        }
        Ok(())
    }

    fn keep(&mut self, scenario: &Scenario, kind: Kind, sample: Sample) {
        let title = scenario.title();
        let known = self
            .rows
            .iter_mut()
            .find(|row| row.kind == kind && row.scenario == title);
        if let Some(row) = known {
            row.rounds.push(sample);
            return;
        }
        let mut row = Row::new(scenario, kind);
        row.rounds.push(sample);
        self.rows.push(row);
    }

    fn processes(&self) -> Result<Vec<Process>> {
        let mut processes = Vec::new();
        for (kind, gateway) in &self.gateways {
            let Some(pid) = gateway.pid() else { continue };
            processes.push(Process {
                gateway: kind.name(),
                start_ms: gateway.start.as_secs_f64() * 1e3,
                idle: self.idle.get(kind).copied().unwrap_or_default(),
                loaded: procfs::tree_memory(pid)?,
            });
        }
        Ok(processes)
    }

    /// How many calls the reference package sealed inside LiteLLM; told, not judged.
    fn count_reference_capsules(&mut self) -> Result<()> {
        let Some(gateway) = self.gateways.get(&Kind::LiteLlmSealed) else {
            return Ok(());
        };
        let Some(data) = &gateway.data else {
            return Ok(());
        };
        let sealed = records::head(data)? + 1;
        let answered = self
            .answered
            .get(&Kind::LiteLlmSealed)
            .copied()
            .unwrap_or_default();
        self.notes.push(format!(
            "litellm + qp-capsule sealed {sealed} of {answered} answered calls while it ran"
        ));
        Ok(())
    }

    fn terminate_under_load(&mut self) -> Result<()> {
        let Some(program) = self.options.programs.sealgate.as_deref() else {
            return Ok(());
        };
        for round in 1..=self.options.rounds {
            let directory = self.options.work.join(format!("sigterm-{round}"));
            eprintln!("SIGTERM at full load, round {round}");
            self.equality.push(accounting::sigterm_at_full_load(
                program,
                self.upstream.address,
                &directory,
                32,
                Duration::from_secs(3),
            )?);
        }
        Ok(())
    }
}

fn tell(scenario: &Scenario, kind: Kind, round: usize, sample: &Sample) {
    eprintln!(
        "round {round}  {:<34} {:<24} {:>9.1} us/call {:>8.0}/s  p50 {:.2} p99 {:.2} ms  faults {}  other load {:.2}",
        scenario.title(),
        kind.name(),
        sample.cpu_us_per_call,
        sample.per_second,
        sample.p50_ms,
        sample.p99_ms,
        sample.faults,
        sample.other_load,
    );
}
