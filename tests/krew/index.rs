//! An index of Krew, which is a git repository with manifests in `plugins/`, and a server of files beside it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

pub struct Index {
    folder: PathBuf,
}

impl Index {
    pub fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("plugins")).unwrap();
        fs::write(folder.join("plugins/.keep"), "").unwrap();
        let index = Self { folder };
        index.git(&["init", "--quiet", "--initial-branch=main"]);
        index.publish();
        index
    }

    pub fn address(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// Where manifests belong.
    pub fn plugins(&self) -> PathBuf {
        self.folder.join("plugins")
    }

    /// Whoever updates gets what is in the folder now.
    pub fn publish(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=Plugins"]);
    }

    fn git(&self, args: &[&str]) {
        let mut command = Command::new("git");
        command
            .current_dir(&self.folder)
            .args(["-c", "user.name=test", "-c", "user.email=test@example.com"]);
        // Whatever hooks and signatures the user of this machine has are not wanted here.
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").args(args);
        assert!(command.status().unwrap().success(), "git {args:?}");
    }
}

/// Serves the files in the folder for as long as the test runs. Returns its address.
pub fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_path_buf();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let asked: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let path = asked
                .first()
                .and_then(|line| line.split(' ').nth(1))
                .unwrap_or_default();
            let found = fs::read(folder.join(path.trim_start_matches('/')));
            let status = if found.is_ok() { "200 OK" } else { "404 Not Found" };
            let body = found.unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}
