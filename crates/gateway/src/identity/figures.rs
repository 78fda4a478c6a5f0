//! Figures of identity on one process, for `bench/identity`: how long many keys take to load and what they need, and what
//! authentication, limits and reservation of a known key cost a call. Only with the feature `figures`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::SystemClock;
use policy::Credential;
use policy::budget::{Ask, Caps, Demand, Used};
use policy::identity::{Entity, KeyPart, Kind, MemberRole, TeamPart};
use policy::{MicroUsd, key_text};

use super::change::{Action, Edited, Editor};
use super::{Identity, secret};
use crate::app::App;
use crate::config::{self, MapEnv, MapFiles, Overrides};
use crate::digest::DigestKey;
use crate::proxy::authenticate;
use crate::serve::{self, Setup, data};

const MASTER: &str = "sk-Zq8vN3xR7tLw2KpY9sMd4HbF6jGc1VaE";

/// Why there is no figure.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What loading took.
#[derive(Debug)]
pub struct Loaded {
    /// Keys in force afterwards.
    pub keys: usize,
    /// Reading the rows, checking them and filling the tables.
    pub took: Duration,
    /// Growth of the resident set, bytes.
    pub bytes: u64,
}

fn configuration() -> Result<config::Config, Failure> {
    let text = serde_json::json!({
        "model_list": [{ "model_name": "m", "litellm_params": { "model": "openai/m", "mock_response": "hello",
            "input_cost_per_token": 0.000_001, "output_cost_per_token": 0.000_001 } }],
        "general_settings": { "master_key": MASTER },
    });
    let path = Path::new("/config.yaml");
    let files = MapFiles([(path.to_owned(), text.to_string())].into());
    let env = MapEnv(Default::default());
    let mut config = config::load_with(path, &Overrides::default(), &env, &files)
        .map_err(|rejected| rejected.to_string())?;
    config.listen.set_port(0);
    Ok(config)
}

async fn started(dir: &Path) -> Result<serve::Running, Failure> {
    let config = configuration()?;
    let opened = data::open(dir, &config, Arc::new(SystemClock))?;
    let setup = Setup {
        config,
        ledger: opened.ledger,
        digest_key: opened.digest_key,
        access_log: None,
        clock: Arc::new(SystemClock),
        identity: opened.identity,
        sharing: None,
        content: opened.content,
    };
    Ok(serve::start(setup).await?)
}

/// A key as an administrator makes it: with budget, rates, models, team, user, metadata.
fn key(app: &App, number: u32) -> Entity {
    let digest = app.identity.secrets.of_key(&text(number));
    Entity {
        kind: Kind::Key,
        id: secret::public_id(&digest).into(),
        alias: Some(format!("service-{number}").into()),
        team: Some(format!("team-{}", number % 100).into()),
        user: Some(format!("user-{}@example.com", number % 1_000).into()),
        models: vec!["m".into(), "gpt-4o".into()].into(),
        metadata: Some("{\"environment\":\"production\",\"app\":\"chat-widget\"}".into()),
        caps: Some(Arc::new(Caps {
            max_budget: Some(MicroUsd::new(100_000_000)),
            rpm_limit: Some(1_000_000_000),
            tpm_limit: Some(1_000_000_000_000),
            max_parallel_requests: Some(100),
            ..Caps::default()
        })),
        key: Some(Box::new(KeyPart {
            digest: secret::hex(&digest).into(),
            name: key_text::masked(&text(number)).into(),
            ..KeyPart::default()
        })),
        ..Entity::default()
    }
}

fn text(number: u32) -> String {
    key_text::plain(blake3::hash(&number.to_be_bytes()).as_bytes())
}

fn team(number: u32) -> Entity {
    Entity {
        kind: Kind::Team,
        id: format!("team-{number}").into(),
        caps: Some(Arc::new(Caps {
            max_budget: Some(MicroUsd::new(1_000_000_000_000)),
            rpm_limit: Some(1_000_000_000),
            ..Caps::default()
        })),
        group: Some(Box::new(TeamPart {
            members: vec![policy::identity::Member {
                user: "user-1@example.com".into(),
                role: MemberRole::User,
                caps: None,
            }],
            ..TeamPart::default()
        })),
        ..Entity::default()
    }
}

/// Makes a ledger with so many keys in 100 teams, each change sealed as the management API seals it.
///
/// # Errors
/// When anything on the way fails.
pub async fn fill(dir: &Path, keys: u32) -> Result<(), Failure> {
    data::create(dir, None, "figures", false, Arc::new(SystemClock))?;
    let running = started(dir).await?;
    let app = running.app().clone();
    let credential = Credential::find(None, |name| {
        (name == "x-api-key").then_some(MASTER.as_bytes())
    })?;
    let master = app.snapshot().config.authenticator.master(credential);
    let master = master.ok_or("the master key is not known")?;
    let made = |after: Entity| Edited {
        action: Action::Created,
        before: None,
        after,
    };
    let editor = Editor::new(&app, master.principal(), None).await;
    editor
        .commit((0..100).map(|number| made(team(number))).collect())
        .await?;
    let all = (0..keys).map(|number| made(key(&app, number)));
    editor.commit(all.collect()).await?;
    drop(editor);
    drop(app);
    running.shutdown(Duration::from_secs(30)).await?;
    Ok(())
}

/// Loads what [`fill`] made, as a start does.
///
/// # Errors
/// When anything on the way fails.
pub fn load(dir: &Path) -> Result<Loaded, Failure> {
    let config = configuration()?;
    let keys = store::keys::DataDir::open(dir)?;
    let digest_key = *keys.digest_key()?;
    let digests = DigestKey::new(&digest_key);
    let before = resident()?;
    let began = Instant::now();
    let seed = super::Seed {
        rows: None,
        database: Some(keys.database().into()),
        roll: Some(dir.join("entities")),
    };
    let identity = Identity::new(seed, &digest_key, &digests, &config, 0, None)?;
    let took = began.elapsed();
    let bytes = resident()?.saturating_sub(before);
    if identity.damaged > 0 {
        return Err(format!("{} rows are damaged", identity.damaged).into());
    }
    let keys = identity.directory.read().all(Kind::Key).count();
    Ok(Loaded { keys, took, bytes })
}

/// CPU time of authentication, limits, reservation and settling of one call by a known key, of `calls` calls over all keys.
///
/// # Errors
/// When anything on the way fails.
pub async fn call(dir: &Path, keys: u32, calls: u32) -> Result<Duration, Failure> {
    let running = started(dir).await?;
    let app = running.app().clone();
    let snapshot = app.snapshot();
    let deployment = snapshot.config.models.deployments().next();
    let deployment = deployment.ok_or("no deployment")?.1.clone();
    let heads: Vec<http::request::Parts> = (0..1_000.min(keys))
        .map(|number| {
            let request = http::Request::builder()
                .header(
                    "authorization",
                    format!("Bearer {}", text(number * (keys / 1_000).max(1))),
                )
                .header("content-type", "application/json")
                .header("user-agent", "OpenAI/Python 2.0");
            Ok(request.body(())?.into_parts().0)
        })
        .collect::<Result<_, http::Error>>()?;
    let mut spent = Duration::ZERO;
    for round in 0..2 {
        let began = cpu();
        for number in 0..calls {
            let head = usize::try_from(number)? % heads.len();
            let head = heads.get(head).ok_or("no head")?;
            let caller = authenticate::authenticate(&app, &snapshot, head)?;
            let principal = caller.principal();
            principal.may_use("m")?;
            let claims = app
                .identity
                .claims(principal, &snapshot.config, "m", &deployment, None);
            let demands: Vec<Demand<'_>> = claims.iter().map(|claim| claim.demand()).collect();
            let ask = Ask {
                money: MicroUsd::new(10),
                input: 100,
                output: 100,
            };
            let now = app.clock.now().micros();
            let hold = app.identity.shelf.reserve(now, &demands, &ask)?;
            hold.settle(&Used {
                money: MicroUsd::new(1),
                input: 50,
                output: 50,
            });
        }
        // The first round warms the caches.
        if round == 1 {
            spent = cpu().saturating_sub(began);
        }
    }
    drop(app);
    running.shutdown(Duration::from_secs(30)).await?;
    Ok(spent / calls.max(1))
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Bytes of memory that this process holds.
fn resident() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).ok_or("no resident set")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
