//! Configuration: LiteLLM's `config.yaml` with a `sealgate:` section becomes types, once.
//!
//! [`load`] reads the files, resolves references to the environment, judges
//! every key by a table, and collects **all** problems with their lines. It
//! opens no port and no connection. Nothing it says holds a secret.

mod access;
mod budgets;
mod callbacks;
mod checklist;
mod compliance;
mod consent;
mod content;
mod database;
mod defaults;
mod deployment;
mod effective;
mod egress;
mod endpoint;
pub(crate) mod env;
mod files;
mod general;
mod guardrails;
mod legacy;
mod limits;
mod models;
pub(crate) mod own_model;
pub(crate) mod problems;
pub(crate) mod reader;
mod redis;
mod references;
mod render;
mod routing;
mod rules;
mod sealgate;
mod secrets;
mod selection;
pub(crate) mod states;
pub(crate) mod suggest;
mod tls;
mod url;
pub(crate) mod words;
pub(crate) mod yaml;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::{Authenticator, Router, Secret};

pub use access::AccessGroups;
pub use budgets::Budgets;
pub use callbacks::{Callback, CallbackKind};
pub use checklist::{Point, Verdict, checklist, checklist_text};
pub use compliance::Preset;
pub(crate) use consent::is_name;
pub use consent::{ConsentSettings, Notice};
pub use content::{ContentMode, ContentSettings, RetentionSettings, SubjectOf};
pub use defaults::DefaultMember;
pub use egress::{AddressClass, Egress, classify};
pub use env::{Env, MapEnv, ProcessEnv};
pub use files::{Disk, Files, MapFiles};
pub use general::{Log, LogLevel};
pub use guardrails::{Guardrail, Modes};
pub use limits::Limits;
pub use models::{Deployment, EntraClient, Mode, UpstreamModel};
pub use problems::{KeyState, Note, Place, Problem, Rejected, Severity};
pub use redis::Redis;
pub use render::{check_json, check_passes, check_text, start_lines};
pub use sealgate::{InactiveChecks, MasterKeyUse, OpaqueParts, PromptHash, ProviderRetention};
pub use selection::Selection;
pub use tls::TlsFiles;
pub use url::{BaseUrl, Host, UrlError};
pub use words::{BlockedWord, WordAction, Words};

use env::Variables;
use problems::Report;
use reader::Section;
use states::Table;
use yaml::Node;

/// A loaded configuration. It does not change; a reload makes another one.
pub struct Config {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// Certificate and key of the main listener; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// Whether records get an ML-DSA-65 signature beside the other.
    pub post_quantum: bool,
    /// Whether a changed file is loaded without being asked.
    pub watch_config: bool,
    /// An address for health and metrics of their own.
    pub health_listen: Option<SocketAddr>,
    /// Knows the master key.
    pub authenticator: Authenticator,
    /// One more header that carries a key, in lower case.
    pub key_header: Option<String>,
    /// Whether the master key may call models.
    pub master_key_on_llm_routes: MasterKeyUse,
    /// Whether `/metrics` needs a key.
    pub metrics_need_key: bool,
    /// Model groups, aliases and their deployments.
    pub models: Router<Arc<Deployment>>,
    /// Access groups of model groups.
    pub access_groups: AccessGroups,
    /// Budgets, rates, and the addresses they are decided by.
    pub budgets: Budgets,
    /// Checks that calls can select.
    pub guardrails: Vec<Guardrail>,
    /// Deployments that only checks use.
    pub judges: Vec<Arc<Deployment>>,
    /// Callbacks that the file names.
    pub callbacks: Vec<Callback>,
    /// What happens to calls that select a check that is not built.
    pub inactive_checks: InactiveChecks,
    /// What is kept of a call's content.
    pub content_mode: ContentMode,
    /// Rules over the facts of calls, in order.
    pub rules: Vec<policy::rules::Source>,
    /// What counts as a consent, and the notices that people are shown.
    pub consent: ConsentSettings,
    /// The presets that the file asks for, and what came of them.
    pub presets: Vec<Preset>,
    /// Whose it is and how long it lives.
    pub content: ContentSettings,
    /// The domain written to every record; at most 50 characters.
    pub domain: String,
    /// The PostgreSQL database that holds the ledger; `None` for the SQLite file in the data directory.
    pub database: Option<store::postgres::Target>,
    /// Where ledger and keys are; the command line may say otherwise.
    pub data_dir: Option<PathBuf>,
    /// Whether an answer waits for its sealed record (not for streams).
    pub seal_before_answer: bool,
    /// Whether unknown top-level fields of a request are refused.
    pub strict_fields: bool,
    /// How `prompt_hash` is made.
    pub prompt_hash: PromptHash,
    /// What happens to parts that no check can read.
    pub opaque_parts: OpaqueParts,
    /// What providers are asked to keep.
    pub provider_retention: ProviderRetention,
    /// Inner addresses that may be dialled.
    pub egress: Egress,
    /// Redis, where it is configured.
    pub redis: Option<Redis>,
    /// Bounds of everything a peer can make large, slow or many.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
    /// What there is to know, in the order of the files.
    pub notes: Vec<Note>,
    /// SHA-256 over the effective configuration without secrets.
    pub digest: [u8; 32],
}

impl fmt::Debug for Config {
    /// Only the digest: a configuration holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest: String = self
            .digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        f.debug_struct("Config")
            .field("digest", &digest)
            .finish_non_exhaustive()
    }
}

/// A check that a call selects and that is not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingCheck<'c> {
    /// The guardrail's or the callback's name.
    pub name: &'c str,
    /// The part that is missing, in words.
    pub why: &'static str,
}

impl Config {
    /// Whether limits and the news of changes are shared with other processes. Without that a second instance on one database
    /// does not start.
    #[must_use]
    pub fn shares_limits(&self) -> bool {
        self.database.is_some() && self.redis.is_some()
    }

    /// The guardrail of a name, as a request selects it.
    #[must_use]
    pub fn guardrail(&self, name: &str) -> Option<&Guardrail> {
        self.guardrails
            .iter()
            .find(|guardrail| guardrail.name == name)
    }

    /// Checks that every call selects and that are not built, in whole or in part.
    pub fn always_selected_missing(&self) -> impl Iterator<Item = MissingCheck<'_>> {
        let checks = self.guardrails.iter();
        let checks = checks
            .filter(|guardrail| guardrail.default_on && !guardrail.missing.is_empty())
            .map(|guardrail| MissingCheck {
                name: &guardrail.name,
                why: "guardrail is not built",
            });
        let callbacks = self.callbacks.iter();
        let callbacks = callbacks
            .filter(|callback| callback.kind == CallbackKind::Policy)
            .map(|callback| MissingCheck {
                name: &callback.name,
                why: "policy callback is not built",
            });
        checks.chain(callbacks)
    }
}

/// What the command line says; it wins over the file and the environment.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--host`
    pub host: Option<String>,
    /// `--port`
    pub port: Option<u16>,
    /// `--master_key`
    pub master_key: Option<Secret>,
    /// `--database_url`
    pub database_url: Option<Secret>,
    /// `--env-file`
    pub env_file: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--ssl_certfile_path`
    pub ssl_certfile: Option<PathBuf>,
    /// `--ssl_keyfile_path`
    pub ssl_keyfile: Option<PathBuf>,
    /// `--detailed_debug`
    pub debug: bool,
}

/// Loads a configuration from the file system.
///
/// # Errors
/// [`Rejected`] with every problem, when there is any.
pub fn load(path: &Path, overrides: &Overrides, env: &dyn Env) -> Result<Config, Rejected> {
    load_with(path, overrides, env, &Disk)
}

/// Loads a configuration, reading files through `files`.
///
/// # Errors
/// [`Rejected`] with every problem, when there is any.
pub fn load_with(
    path: &Path,
    overrides: &Overrides,
    env: &dyn Env,
    files: &dyn Files,
) -> Result<Config, Rejected> {
    let mut report = Report::default();
    let mut variables = Variables::new(env);
    let mut presets = Vec::new();
    let config = files::read_all(path, files, &mut report).and_then(|mut root| {
        let env_file = overrides.env_file.as_deref();
        files::variables(
            &mut root,
            path,
            env_file,
            files,
            &mut variables,
            &mut report,
        );
        let managed = has_secret_manager(&root);
        references::resolve(&mut root, "", &variables, managed, &mut report);
        presets = compliance::apply(&mut root, &mut report);
        secrets::note_literals(&root, "", &mut report);
        let folder = path.parent().unwrap_or(Path::new(""));
        let root = Section::of(Some(&root), String::new(), &root.place, &mut report);
        build(&root, (folder, files), overrides, &variables, &mut report)
    });
    report.sort();
    match config {
        Some(mut config) if report.problems.is_empty() => {
            config.notes = report.notes;
            config.presets = presets;
            config.digest = effective::digest(&config);
            Ok(config)
        }
        _ => Err(Rejected {
            problems: report.problems,
            notes: report.notes,
        }),
    }
}

/// Whether references are meant for a secret manager first.
fn has_secret_manager(root: &Node) -> bool {
    let Some(general) = root.get("general_settings") else {
        return false;
    };
    let on = |key: &str| {
        general.get(key).is_some_and(|node| match &node.value {
            yaml::Value::Null | yaml::Value::Bool(false, _) => false,
            yaml::Value::Text(text) => text != "local",
            _ => true,
        })
    };
    [
        "key_management_system",
        "secret_manager",
        "use_azure_key_vault",
        "use_google_kms",
        "use_aws_kms",
    ]
    .into_iter()
    .any(on)
}

/// Every concern in turn; each adds its problems and goes on.
fn build(
    root: &Section<'_>,
    (folder, files): (&Path, &dyn Files),
    overrides: &Overrides,
    variables: &Variables<'_>,
    report: &mut Report,
) -> Option<Config> {
    let table = Table::new();
    root.judge(&table, "top", report);
    let general = root.section("general_settings", report);
    general.judge(&table, "general_settings", report);
    let litellm = root.section("litellm_settings", report);
    litellm.judge(&table, "litellm_settings", report);
    let router = root.section("router_settings", report);
    router.judge(&table, "router_settings", report);

    let limits = limits::read(root, &table, report);
    let mut own = sealgate::read(root, folder, variables, &table, report);
    let drop_params = litellm.flag("drop_params", report).unwrap_or(false);
    let mut reading = models::Reading {
        drop_params,
        table: &table,
        variables,
        timeout: limits.total_timeout,
        stream_timeout: limits.idle_timeout,
        egress: &mut own.egress,
        report,
    };
    let routing = routing::read(root, &router, &litellm, &table, reading.report);
    let models = models::read(root, &router, routing, &mut reading);
    let known = |name: &str| models.knows(name);
    routing::check_names(models.settings(), &router, &litellm, known, report);
    let database = database::read(&general, overrides, variables, report);
    general::unused_stores(variables, report);
    let surroundings = guardrails::Surroundings {
        table: &table,
        folder,
        files,
        variables,
        models: &models,
        timeout: limits.total_timeout,
    };
    let (guardrails, judges) = guardrails::read(root, &surroundings, &mut own.egress, report);
    let budgets = budgets::read(root, report);
    let redis = redis::read(root, folder, variables, &table, report);
    let callbacks = callbacks::read(&litellm, variables, report);
    let authenticator = general::authenticator(&general, overrides, variables, report);
    let tls = tls::read(root, folder, overrides, variables, &table, report);
    let listen = general::listen(&general, overrides, variables, tls.is_some(), report);
    Some(Config {
        listen,
        tls,
        post_quantum: own.post_quantum,
        watch_config: own.watch_config,
        health_listen: general::health_listen(root, report),
        key_header: general::key_header(&general, report),
        master_key_on_llm_routes: own.master_key_on_llm_routes,
        metrics_need_key: general::metrics_need_key(&litellm, report),
        access_groups: AccessGroups::new(&models),
        models,
        budgets,
        guardrails,
        judges,
        callbacks,
        inactive_checks: own.inactive_checks,
        content_mode: own.content_mode,
        consent: consent::read(root, &table, (folder, files), report),
        presets: Vec::new(),
        content: own.content,
        rules: own.rules,
        domain: own.domain,
        database,
        data_dir: overrides.data_dir.clone().or(own.data_dir),
        seal_before_answer: own.seal_before_answer,
        strict_fields: own.strict_fields,
        prompt_hash: own.prompt_hash,
        opaque_parts: own.opaque_parts,
        provider_retention: own.provider_retention,
        egress: own.egress,
        redis,
        limits,
        log: general::log(&general, &litellm, overrides, variables, report),
        notes: Vec::new(),
        digest: [0; 32],
        authenticator: authenticator?,
    })
}

#[cfg(test)]
#[path = "tests/mod.rs"]
pub(crate) mod tests;
