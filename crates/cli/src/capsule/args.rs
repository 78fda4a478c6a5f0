//! The arguments of `capsule`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Verify, inspect and export sealed records of the Capsule Protocol.
#[derive(Debug, Parser)]
#[command(
    name = "capsule",
    version,
    infer_long_args = true,
    args_override_self = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify chain integrity.
    Verify(Verify),
    /// Inspect a single record.
    Inspect(Inspect),
    /// Manage the keys of a data directory.
    #[command(disable_help_subcommand = true)]
    Keys(Keys),
    /// Compute the SHA3-256 of a file, or of the canonical content of a record.
    Hash(Hash),
    /// Print the canonical bytes of a JSON value.
    Canonical(OneFile),
    /// Check the shape and values of a record.
    Validate(Validate),
    /// Take a capsule:// reference apart.
    Uri {
        /// The reference, for example capsule://chain/42#trigger/request.
        #[arg(allow_hyphen_values = true)]
        uri: String,
    },
    /// Write records of a ledger as chain.json, as lines, or one record with its proof.
    Export(Export),
}

/// Where records come from.
#[derive(Debug, Default, Args)]
pub struct Source {
    /// A file: an array of sealed records, one record, or one record per line. `-` reads standard input.
    pub source: Option<PathBuf>,
    /// SQLite database path.
    #[arg(long, value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// PostgreSQL connection URL. Everybody on this machine can see arguments: a password is better in PGPASSWORD.
    #[arg(long, value_name = "URL")]
    pub pg: Option<String>,
    /// With --pg: the chain of this tenant instead of the one without a tenant.
    #[arg(long, value_name = "TENANT", requires = "pg")]
    pub chain: Option<String>,
    /// Directory with keys and capsules.db; without another source, that database is read.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// The arguments of `capsule verify`.
#[derive(Debug, Default, Args)]
pub struct Verify {
    /// Where the records come from.
    #[command(flatten)]
    pub source: Source,
    /// Sequence and hash linkage (default).
    #[arg(long, group = "level")]
    pub structural: bool,
    /// Structural, and recompute SHA3-256 from content. Signatures are not checked.
    #[arg(long, group = "level")]
    pub full: bool,
    /// Full, and verify Ed25519 signatures with the keyring.
    #[arg(long, group = "level")]
    pub signatures: bool,
    /// Verify signatures against this public key (64 hex digits). Needs no keyring; implies --signatures.
    #[arg(long, value_name = "HEX")]
    pub pubkey: Option<String>,
    /// Read the public key (hex) from a file. Implies --signatures.
    #[arg(long, value_name = "PATH")]
    pub pubkey_file: Option<PathBuf>,
    /// Every record must carry a good ML-DSA-65 signature too. Implies --signatures.
    #[arg(long)]
    pub require_pq: bool,
    /// The public ML-DSA-65 key, as bytes or hex; default key.ml.pub of the data directory. Signatures that are there are
    /// checked with it. Implies --signatures.
    #[arg(long, value_name = "PATH")]
    pub pq_pubkey_file: Option<PathBuf>,
    /// A proof or evidence bundle of `capsule export` instead of a chain. Needs the ledger's public key.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "db", "pg", "checkpoint", "level"])]
    pub proof: Option<PathBuf>,
    /// A signed checkpoint to compare with: finds truncation and forks.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Machine-readable JSON output.
    #[arg(long)]
    pub json: bool,
    /// Exit code only (0 pass, 1 fail, 2 error).
    #[arg(long)]
    pub quiet: bool,
}

/// The arguments of `capsule inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Where the records come from.
    #[command(flatten)]
    pub source: Source,
    /// Select by sequence number.
    #[arg(long, allow_negative_numbers = true)]
    pub seq: Option<i64>,
    /// Select by id.
    #[arg(long)]
    pub id: Option<String>,
    /// Only records of this domain.
    #[arg(long)]
    pub domain: Option<String>,
}

/// The arguments of `capsule keys`.
#[derive(Debug, Args)]
pub struct Keys {
    /// What to do with the keys.
    #[command(subcommand)]
    pub command: Option<KeysCommand>,
}

/// The subcommands of `capsule keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Show key metadata and epoch history.
    Info(KeysDir),
    /// Rotate to a new key epoch.
    Rotate(KeysDir),
    /// Make a pair of ML-DSA-65 keys for post-quantum signatures beside the others.
    CreatePq(KeysDir),
    /// Print the active public key (hex).
    ExportPublic(PublicKeyOf),
}

/// Which public key.
#[derive(Debug, Args)]
pub struct PublicKeyOf {
    /// Which data directory.
    #[command(flatten)]
    pub dir: KeysDir,
    /// The key of this epoch instead of the active one; 0 is the key that a ledger began with.
    #[arg(long, value_name = "N")]
    pub epoch: Option<u64>,
}

/// Which data directory.
#[derive(Debug, Args)]
pub struct KeysDir {
    /// Directory with the keys. Default: $SEALGATE_DATA_DIR, $QUANTUMPIPES_DATA_DIR, ~/.quantumpipes.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// The arguments of `capsule hash`.
#[derive(Debug, Args)]
pub struct Hash {
    /// Hash the canonical content of the record in the file, as `capsule canonical` prints it.
    #[arg(long)]
    pub capsule: bool,
    /// File to hash. `-` reads standard input.
    pub file: PathBuf,
}

/// A command over one file.
#[derive(Debug, Args)]
pub struct OneFile {
    /// The file. `-` reads standard input.
    pub file: PathBuf,
}

/// The arguments of `capsule validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The file with one record. `-` reads standard input.
    pub file: PathBuf,
    /// The hash that the content is claimed to have.
    #[arg(long, value_name = "HEX", allow_hyphen_values = true)]
    pub claimed_hash: Option<String>,
}

/// Which records. All that is named must hold.
#[derive(Debug, Default, Args)]
pub struct Filter {
    /// Only records of this agent (`context.agent_id`).
    #[arg(long)]
    pub agent: Option<String>,
    /// Only records of this domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// Only records of calls with the key of this id (`context.environment.key_id`; never the key itself).
    #[arg(long, value_name = "KEY_ID")]
    pub key: Option<String>,
    /// Only records of this tenant (`context.environment.tenant`; empty for the default tenant).
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only records from this time on: a day in UTC, or a time with its offset.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only records before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Without records of calls whose person does not want analytics (`context.environment.analytics` is false).
    #[arg(long)]
    pub for_analytics: bool,
}

/// The arguments of `capsule export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Where the records come from.
    #[command(flatten)]
    pub source: Source,
    /// One record per line instead of one array.
    #[arg(long, conflicts_with = "proof")]
    pub jsonl: bool,
    /// With inclusion proofs and the signed checkpoint; --seq or --id choose one record. `capsule verify --proof` checks it.
    #[arg(long)]
    pub proof: bool,
    /// Only the record with this sequence number.
    #[arg(long)]
    pub seq: Option<u64>,
    /// Only the record with this id.
    #[arg(long)]
    pub id: Option<String>,
    /// Only the records that match. Without --jsonl they are written as an evidence bundle: with their proofs.
    #[command(flatten)]
    pub filter: Filter,
    /// Where to write. Default: standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
