//! A certificate authority of one test, made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::collect;

/// A directory with an authority and what it signed.
#[derive(Debug)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes an authority, and a server's and a client's certificate: `ca`, `server` and `client`, each `.pem` and `.key`.
    /// The server's is for 127.0.0.1, `localhost` and what ends in `.localhost`.
    pub fn make(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let made = Self {
            dir: dir.to_owned(),
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        made.openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=wharf-test-ca \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        ));
        let names = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost";
        for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
            let extensions = format!("{names}\nextendedKeyUsage={usage}\n");
            std::fs::write(dir.join("extensions"), extensions).unwrap();
            made.openssl(&format!(
                "req {key} -keyout {name}.key -out request -subj /CN={name}"
            ));
            made.openssl(&format!(
                "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 \
                 -extfile extensions"
            ));
        }
        made
    }

    /// One of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes `<dir>/<host:port>/`, as Docker's `certs.d` has it: the authority, and the client's certificate if asked.
    pub fn install(&self, dir: &Path, host: &str, with_client: bool) {
        let target = dir.join(host);
        std::fs::create_dir_all(&target).unwrap();
        let mut files = vec![("ca.pem", "ca.crt")];
        if with_client {
            files.extend([("client.pem", "client.cert"), ("client.key", "client.key")]);
        }
        for (from, to) in files {
            std::fs::copy(self.file(from), target.join(to)).unwrap();
        }
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(&self.dir);
        let output = collect(&mut command, &[]);
        assert_eq!(output.code, 0, "openssl {arguments}: {output:#?}");
    }
}
