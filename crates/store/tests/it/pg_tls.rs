//! TLS to a real server with certificates of a throwaway authority: the right one is believed, and nobody else.

use std::path::Path;
use std::process::Command;

use capsule::{Capsule, Draft, Timestamp};
use store::postgres::{PostgresJournal, Settings, SharedTable, Target};
use store::shared::SharedChain;
use store::signer::FastSigner;

use crate::pg_server::{self, Server, programs};

const PASSWORD: &str = "canary-4f1c";

/// Runs `openssl` in a directory.
fn openssl(folder: &Path, arguments: &str) {
    let out = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "openssl {arguments}: {error}");
}

/// Two authorities, `right.pem` and `wrong.pem`, and the server's certificate for `localhost` by the first.
fn certificates(folder: &Path) {
    for name in ["right", "wrong"] {
        openssl(
            folder,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
            ),
        );
    }
    openssl(
        folder,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    );
    let names = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";
    std::fs::write(folder.join("names"), names).unwrap();
    openssl(
        folder,
        "x509 -req -in server.csr -CA right.pem -CAkey right.key -set_serial 2 -days 2 -extfile names -out server.pem",
    );
}

/// A server that takes connections over TLS alone, and asks for a password.
struct Secured {
    server: Server,
    folder: tempfile::TempDir,
}

impl Secured {
    fn start() -> Option<Secured> {
        if programs().is_none() {
            // Says so, or fails where it must not be missing.
            return Server::start(&[]).and(None);
        }
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let access =
            "hostssl postgres all 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(folder.path().join("hba"), access).unwrap();
        // The server reads them as a user of its own and insists that nobody else can read the key.
        if rustix::process::geteuid().is_root() {
            let owned = Command::new("chown")
                .args(["-R", "postgres"])
                .arg(folder.path())
                .status();
            assert!(owned.unwrap().success());
        }
        let file = |name: &str| folder.path().join(name).display().to_string();
        let server = Server::start(&[
            "ssl=on",
            &format!("ssl_cert_file={}", file("server.pem")),
            &format!("ssl_key_file={}", file("server.key")),
            &format!("hba_file={}", file("hba")),
        ])?;
        let secured = Secured { server, folder };
        secured.new_databases();
        secured.sql(
            "postgres",
            &format!("ALTER USER CURRENT_USER PASSWORD '{PASSWORD}'"),
        );
        Some(secured)
    }

    /// `psql` encrypts where the server insists.
    fn sql(&self, database: &str, statement: &str) -> Vec<String> {
        let url = self.url("localhost", database, "sslmode=require");
        pg_server::sql(&programs().unwrap(), &url, statement)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn url(&self, host: &str, database: &str, parameters: &str) -> String {
        let own = self.server.url(database);
        let (user, place) = own.split_once('@').unwrap();
        let place = place.strip_prefix("127.0.0.1").unwrap();
        // Whatever else the name stands for.
        format!("{user}:{PASSWORD}@{host}{place}?hostaddr=127.0.0.1&{parameters}")
    }

    /// Empty ones, for the gateway's ledger and for the shared chain.
    fn new_databases(&self) {
        for name in ["ledger", "shared"] {
            self.sql(
                "postgres",
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            );
            self.sql("postgres", &format!("CREATE DATABASE {name}"));
        }
    }
}

/// What the gateway's ledger and the shared chain say, each in a database of its own; `None` where it connects.
fn answers(secured: &Secured, host: &str, parameters: &str) -> [Option<String>; 2] {
    let target = Target::parse(&secured.url(host, "ledger", parameters)).unwrap();
    let journal = PostgresJournal::create(&target, Settings::default());
    let mut chain = SharedTable::new(&secured.url(host, "shared", parameters)).unwrap();
    let checked = chain.check(&FastSigner::from_seed(&[7; 32]).unwrap());
    [
        journal.err().map(|error| format!("{error} {error:?}")),
        checked.err().map(|error| format!("{error} {error:?}")),
    ]
}

#[test]
fn only_the_right_authority_and_name_are_believed() {
    let Some(secured) = Secured::start() else {
        return;
    };
    let right = format!("sslrootcert={}", secured.file("right.pem"));
    let wrong = format!("sslrootcert={}", secured.file("wrong.pem"));
    let refusals = [
        // A valid certificate, of another authority.
        (
            "localhost",
            format!("sslmode=verify-full&{wrong}"),
            "UnknownIssuer",
        ),
        (
            "localhost",
            format!("sslmode=require&{wrong}"),
            "UnknownIssuer",
        ),
        // The public authorities did not sign it either.
        ("localhost", "sslmode=require".to_owned(), "UnknownIssuer"),
        // The right authority, another name.
        (
            "127.0.0.1",
            format!("sslmode=verify-full&{right}"),
            "not valid for name",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&{right}"),
            "not valid for name",
        ),
        // The server's own rule.
        ("localhost", "sslmode=disable".to_owned(), "no encryption"),
        ("localhost", String::new(), "no encryption"),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=/nowhere/roots.pem".to_owned(),
            "/nowhere/roots.pem",
        ),
    ];
    for (host, parameters, words) in refusals {
        for answer in answers(&secured, host, &parameters) {
            let said = answer.unwrap_or_else(|| panic!("{host} {parameters} connects"));
            assert!(said.contains(words), "{host} {parameters}: {said}");
            assert!(!said.contains(PASSWORD), "{host} {parameters}: {said}");
        }
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        // Each kind of database can be made once.
        secured.new_databases();
        let parameters = format!("sslmode={mode}&{right}");
        assert_eq!(
            answers(&secured, "localhost", &parameters),
            [None, None],
            "{mode}"
        );
    }
}

#[test]
fn records_go_over_tls() {
    let Some(secured) = Secured::start() else {
        return;
    };
    let parameters = format!(
        "sslmode=verify-full&sslrootcert={}",
        secured.file("right.pem")
    );
    let signer = FastSigner::from_seed(&[7; 32]).unwrap();
    let mut chain = SharedTable::new(&secured.url("localhost", "shared", &parameters)).unwrap();
    chain.check(&signer).unwrap();
    let draft = Draft::new(&Capsule::default()).unwrap();
    let now = Timestamp::new(1_767_225_600_000_000);
    chain.append(vec![draft], &signer, now, false).unwrap();
    let count = "SELECT count(*) FROM quantumpipes_capsules";
    assert_eq!(secured.sql("shared", count), ["1"]);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE ssl AND pid <> pg_backend_pid()";
    assert_eq!(secured.sql("shared", encrypted), ["1"]);
}
