//! The processes under test: nginx as plain relay, Sealgate, and the LiteLLM proxy; each on loopback, in a directory
//! of its own, with the mock as only upstream.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    payload,
    service::{Service, free_address},
};

/// Which server a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// No gateway: the client talks to the mock. The floor of latency figures.
    Direct,
    Nginx,
    /// Without access log, as nginx; records hold digests only (content mode `hash`), as in all rows but one.
    Sealgate,
    /// In the default content mode: masked texts beside the records, encrypted.
    SealgateMasked,
    /// With its access log, one JSON line a call, into a file.
    SealgateLogged,
    /// With every local check on requests and answers: personal data, secrets, 10,000 words, attacks.
    SealgateGuarded,
    /// Sealgate with the journal that keeps nothing; exists in the bench build only.
    NullJournal,
    /// Another gateway in Rust. It relays and keeps no record.
    Crabllm,
    LiteLlm,
    /// LiteLLM with a callback that seals each call through the reference package.
    LiteLlmSealed,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Sealgate => "sealgate",
            Self::SealgateLogged => "sealgate, access log",
            Self::SealgateMasked => "sealgate, masked content",
            Self::SealgateGuarded => "sealgate, all local checks",
            Self::NullJournal => "sealgate, null journal",
            Self::Crabllm => "crabllm, no record",
            Self::LiteLlm => "litellm",
            Self::LiteLlmSealed => "litellm + qp-capsule",
        }
    }

    /// Python gateways are measured in fewer rows and given longer to finish.
    pub(crate) fn is_python(self) -> bool {
        matches!(self, Self::LiteLlm | Self::LiteLlmSealed)
    }
}

/// Where the programs are. What is absent is not measured, and the report says so.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) sealgate: Option<PathBuf>,
    pub(crate) null_journal: Option<PathBuf>,
    pub(crate) crabllm: Option<PathBuf>,
    /// Python environment with `litellm[proxy]` and `qp-capsule[storage]`.
    pub(crate) venv: Option<PathBuf>,
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) kind: Kind,
    /// Takes plain calls.
    pub(crate) plain: SocketAddr,
    /// Takes streams; differs from `plain` for nginx only, which needs another buffering mode.
    pub(crate) stream: SocketAddr,
    /// Absent for `Direct`.
    pub(crate) service: Option<Service>,
    /// Directory of its ledger, for those that keep one.
    pub(crate) data: Option<PathBuf>,
    /// From process start to the first healthy answer.
    pub(crate) start: Duration,
}

impl Gateway {
    /// Starts the gateway in `directory`; `None` when its program is absent.
    pub(crate) fn start(
        kind: Kind,
        programs: &Programs,
        mock: SocketAddr,
        directory: &Path,
    ) -> Result<Option<Self>> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        match kind {
            Kind::Direct => Ok(Some(Self {
                kind,
                plain: mock,
                stream: mock,
                service: None,
                data: None,
                start: Duration::ZERO,
            })),
            Kind::Nginx => nginx(mock, directory).map(Some),
            Kind::Sealgate
            | Kind::SealgateLogged
            | Kind::SealgateMasked
            | Kind::SealgateGuarded => optional(&programs.sealgate, |program| {
                sealgate(kind, program, mock, directory)
            }),
            Kind::NullJournal => optional(&programs.null_journal, |program| {
                sealgate(kind, program, mock, directory)
            }),
            Kind::Crabllm => optional(&programs.crabllm, |program| {
                crabllm(program, mock, directory)
            }),
            Kind::LiteLlm | Kind::LiteLlmSealed => {
                optional(&programs.venv, |venv| litellm(kind, venv, mock, directory))
            }
        }
    }

    /// Process id of the gateway's first process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.service.as_ref().map(Service::pid)
    }
}

fn optional(
    program: &Option<PathBuf>,
    start: impl FnOnce(&Path) -> Result<Gateway>,
) -> Result<Option<Gateway>> {
    program.as_deref().map(start).transpose()
}

fn nginx(mock: SocketAddr, directory: &Path) -> Result<Gateway> {
    let (plain, stream) = (free_address()?, free_address()?);
    let config = directory.join("nginx.conf");
    let at = directory.display();
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("  {name}_temp_path {at}/{name};\n"))
        .collect();
    let server = |listen: SocketAddr, more: &str| {
        format!(
            "  server {{ listen {listen}; location / {{ proxy_pass http://mock; proxy_http_version 1.1;\n    \
             proxy_set_header Connection \"\"; proxy_set_header Authorization \"Bearer {}\"; {more} }} }}\n",
            payload::UPSTREAM_KEY
        )
    };
    let text = format!(
        "{user}\nworker_processes 1;\ndaemon off;\npid {at}/nginx.pid;\nerror_log {at}/error.log warn;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n{temporary}  \
         client_body_buffer_size 64k;\n  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  \
         upstream mock {{ server {mock}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s; }}\n\
         {}{}}}\n",
        server(plain, ""),
        server(stream, "proxy_buffering off;"),
    );
    fs::write(&config, text)?;
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(directory)
        .arg("-e")
        .arg(directory.join("error.log"))
        .arg("-c")
        .arg(&config);
    let mut service = Service::spawn("nginx", command, &directory.join("output.log"))?;
    let start = service.wait_until_up(plain, "/count", Duration::from_secs(10))?;
    Ok(Gateway {
        kind: Kind::Nginx,
        plain,
        stream,
        service: Some(service),
        data: None,
        start,
    })
}

/// Adds every local check to a configuration.
fn guard(config: &Path, directory: &Path) -> Result<()> {
    let words: String = (0..10_000)
        .map(|n| format!("forbidden term {n:05}\n"))
        .collect();
    fs::write(directory.join("words.txt"), words)?;
    let mut text = fs::read_to_string(config)?;
    text.push_str("guardrails:\n");
    for (name, modes, more) in [
        ("presidio", "[pre_call, post_call]", ""),
        ("hide-secrets", "[pre_call, post_call]", ""),
        (
            "litellm_content_filter",
            "[pre_call, post_call]",
            ", blocked_words_file: words.txt",
        ),
        ("detect_prompt_injection", "pre_call", ""),
    ] {
        text.push_str(&format!(
            "  - guardrail_name: {name}\n    litellm_params: {{guardrail: {name}, mode: {modes}, default_on: true{more}}}\n"
        ));
    }
    fs::write(config, text)?;
    Ok(())
}

/// Writes Sealgate's configuration and starts it on the ledger under `directory`, which is created when missing.
pub(crate) fn sealgate(
    kind: Kind,
    program: &Path,
    mock: SocketAddr,
    directory: &Path,
) -> Result<Gateway> {
    let address = free_address()?;
    let data = directory.join("data");
    let config = directory.join("config.yaml");
    fs::write(
        &config,
        format!(
            "model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n      \
             api_base: http://{mock}/v1\n      api_key: {upstream}\n  - model_name: {messages}\n    \
             litellm_params:\n      model: anthropic/{messages}\n      api_base: http://{mock}\n      \
             api_key: {upstream}\ngeneral_settings:\n  master_key: {key}\n\
             sealgate:\n  data_dir: {data}\n  content_mode: {content}\n",
            content = if kind == Kind::SealgateMasked {
                "masked"
            } else {
                "hash"
            },
            model = payload::MODEL,
            messages = payload::MESSAGES_MODEL,
            upstream = payload::UPSTREAM_KEY,
            key = payload::CLIENT_KEY,
            data = data.display(),
        ),
    )?;
    if kind == Kind::SealgateGuarded {
        guard(&config, directory)?;
    }
    let mut command = Command::new(program);
    command
        .arg("serve")
        .arg("--config")
        .arg(&config)
        .args([
            "--init-if-missing",
            "--host",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
        ])
        .current_dir(directory);
    if kind != Kind::SealgateLogged {
        command.arg("--no-access-log");
    }
    let mut service = Service::spawn(kind.name(), command, &directory.join("output.log"))?;
    let start = service.wait_until_up(address, "/health/liveliness", Duration::from_secs(60))?;
    Ok(Gateway {
        kind,
        plain: address,
        stream: address,
        service: Some(service),
        data: Some(data),
        start,
    })
}

/// Another gateway in Rust with the same model, the same keys and nothing else switched on.
fn crabllm(program: &Path, mock: SocketAddr, directory: &Path) -> Result<Gateway> {
    let address = free_address()?;
    let config = directory.join("config.toml");
    fs::write(
        &config,
        format!(
            "listen = \"{address}\"\nopenapi = false\n\n[providers.openai]\nkind = \"openai\"\napi_key = \"{upstream}\"\n\
             base_url = \"http://{mock}/v1\"\nmodels = [\"{model}\"]\n\n[[keys]]\nname = \"bench\"\nkey = \"{key}\"\n\
             models = [\"*\"]\n",
            model = payload::MODEL,
            upstream = payload::UPSTREAM_KEY,
            key = payload::CLIENT_KEY,
        ),
    )?;
    let mut command = Command::new(program);
    command
        .args(["serve", "--config"])
        .arg(&config)
        .current_dir(directory)
        .env("RUST_LOG", "error");
    let name = Kind::Crabllm.name();
    let mut service = Service::spawn(name, command, &directory.join("output.log"))?;
    let start = service.wait_until_up(address, "/health", Duration::from_secs(20))?;
    Ok(Gateway {
        kind: Kind::Crabllm,
        plain: address,
        stream: address,
        service: Some(service),
        data: None,
        start,
    })
}

fn litellm(kind: Kind, venv: &Path, mock: SocketAddr, directory: &Path) -> Result<Gateway> {
    let address = free_address()?;
    let config = directory.join("config.yaml");
    let mut text = format!(
        "model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n      \
         api_base: http://{mock}/v1\n      api_key: {upstream}\ngeneral_settings:\n  master_key: {key}\n",
        model = payload::MODEL,
        upstream = payload::UPSTREAM_KEY,
        key = payload::CLIENT_KEY,
    );
    let sealed = kind == Kind::LiteLlmSealed;
    if sealed {
        text.push_str("litellm_settings:\n  callbacks: capsule_callback.seal_every_call\n");
        fs::write(
            directory.join("capsule_callback.py"),
            include_str!("../peers/capsule_callback.py"),
        )?;
    }
    fs::write(&config, text)?;
    let data = directory.join("capsules");
    let mut command = Command::new(venv.join("bin/litellm"));
    command
        .arg("--config")
        .arg(&config)
        .args([
            "--host",
            "127.0.0.1",
            "--port",
            &address.port().to_string(),
            "--num_workers",
            "1",
        ])
        .current_dir(directory)
        // It must not reach the network: prices from its package, everything else to a port where nobody listens.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("LITELLM_TELEMETRY", "False")
        .env("LITELLM_LOG", "ERROR")
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("QUANTUMPIPES_DATA_DIR", &data);
    let mut service = Service::spawn(kind.name(), command, &directory.join("output.log"))?;
    let start = service.wait_until_up(address, "/health/liveliness", Duration::from_secs(90))?;
    Ok(Gateway {
        kind,
        plain: address,
        stream: address,
        service: Some(service),
        data: sealed.then_some(data),
        start,
    })
}
