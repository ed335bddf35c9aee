//! One segment with three systems, each alone in a group of its own making, and the host that floods; must not know what
//! is measured.

use crate::garbage::Form;
use carp::lab::capture::Capture;
use carp::lab::net::{Host, Lab};
use carp::lab::sight::Shared;
use carp::linux::clock;
use carp::wire::MacAddr;
use ipnetwork::IpNetwork;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The host that sends garbage.
pub const FLOODER: &str = "flooder";
/// One that has not become MASTER by then will not.
const START: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// What is flooded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Ours.
    Carp,
    /// Debian's.
    Ucarp,
    /// Debian's.
    Keepalived,
}

impl System {
    /// All of them, in the order of the switch's ports.
    pub const ALL: [Self; 3] = [Self::Carp, Self::Ucarp, Self::Keepalived];

    /// Also its host's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Carp => "carp",
            Self::Ucarp => "ucarp",
            Self::Keepalived => "keepalived",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Carp => env!("CARGO_BIN_EXE_carp"),
            Self::Ucarp => "/usr/sbin/ucarp",
            Self::Keepalived => "/usr/sbin/keepalived",
        }
    }

    /// What it takes for its own protocol.
    pub const fn form(self) -> Form {
        match self {
            Self::Carp | Self::Ucarp => Form::Carp,
            Self::Keepalived => Form::Vrrp,
        }
    }
}

/// All of it ends when this is dropped.
pub struct Scene {
    running: Vec<(System, Child)>,
    pub capture: Capture,
    pub lab: Lab,
    scratch: PathBuf,
}

impl Scene {
    /// The hosts, and on each the system of its name, if it is installed.
    pub fn build() -> Result<Self, Box<dyn Error>> {
        let scratch = std::env::temp_dir().join(format!("carp-floods-{}", std::process::id()));
        fs::create_dir(&scratch)?;
        let mut lab = Lab::new()?;
        let names = System::ALL.map(System::name).into_iter().chain([FLOODER]);
        for (number, name) in (11..).zip(names) {
            let address: IpNetwork = format!("192.0.2.{number}/24").parse()?;
            lab.add_host(name, MacAddr([2, 0, 0, 0, 0, number]), &[address])?;
        }
        let ports: Vec<(u32, String)> = System::ALL
            .iter()
            .map(|system| &lab.host(system.name()).ports()[0])
            .map(|port| (port.port_index, port.port.clone()))
            .collect();
        let shared = Shared {
            vhid: Form::Carp.group(),
            inet: "192.0.2.1".parse()?,
            inet6: "2001:db8::1".parse()?,
        };
        let capture = Capture::start(lab.switch(), &ports, shared)?;
        let mut scene = Self {
            running: Vec::new(),
            capture,
            lab,
            scratch,
        };
        for system in System::ALL {
            if Path::new(system.program()).exists() {
                let child = scene.start(system)?;
                scene.running.push((system, child));
            } else {
                eprintln!("floods: {} is not installed", system.name());
            }
        }
        scene.configure()?;
        Ok(scene)
    }

    /// The systems that run.
    pub fn systems(&self) -> impl Iterator<Item = System> + '_ {
        self.running.iter().map(|(system, _)| *system)
    }

    /// Its host.
    pub fn host(&self, system: System) -> &Host {
        self.lab.host(system.name())
    }

    /// The number of its port in the capture.
    pub fn port(&self, system: System) -> usize {
        System::ALL.iter().take_while(|one| **one != system).count()
    }

    /// What it has logged.
    pub fn log(&self, system: System) -> PathBuf {
        self.scratch.join(system.name())
    }

    /// Runs our executable on its host.
    pub fn carp(&self, words: &str) -> Result<Output, Box<dyn Error>> {
        let mut command = Command::new(System::Carp.program());
        command
            .args(words.split(' '))
            .env("CARP_RUN", &self.scratch);
        let output = self.host(System::Carp).run(|| command.output())?;
        if output.status.success() {
            return Ok(output);
        }
        Err(format!("carp {words}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }

    /// Waits until each one advertises.
    pub fn wait_for_masters(&mut self) -> Result<(), Box<dyn Error>> {
        let begin = clock::now();
        loop {
            let frames = self.capture.frames(begin, clock::now());
            let quiet = self.systems().find(|system| {
                let port = self.port(*system);
                !frames
                    .iter()
                    .any(|frame| frame.port == port && is_advert(*system, &frame.bytes))
            });
            let Some(quiet) = quiet else { return Ok(()) };
            if clock::now() > begin + START {
                let log = fs::read_to_string(self.log(quiet)).unwrap_or_default();
                return Err(format!("{} does not advertise:\n{log}", quiet.name()).into());
            }
            sleep(PAUSE);
        }
    }

    fn start(&self, system: System) -> Result<Child, Box<dyn Error>> {
        let mut command = Command::new(system.program());
        match system {
            System::Carp => command.arg("daemon").env("CARP_RUN", &self.scratch),
            System::Ucarp => {
                let script = self.file("script", "#!/bin/sh\n")?;
                fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
                command
                    .args("-i eth0 -v 1 -p other -f none -s 192.0.2.12 -a 192.0.2.2 -u".split(' '))
                    .args([script.as_os_str(), "-d".as_ref(), script.as_os_str()])
            }
            System::Keepalived => {
                let config = self.file("conf", KEEPALIVED)?;
                // Without -G each line goes to syslog too and, where none runs, to the machine's console.
                command
                    .args(["-n", "-l", "-G", "-P", "-f"])
                    .arg(config)
                    .arg("-p")
                    .arg(self.scratch.join("pid"))
                    .arg("-r")
                    .arg(self.scratch.join("vrrp.pid"))
            }
        };
        let log = File::create(self.log(system))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(self.host(system).run(|| command.spawn())?)
    }

    /// Ours says all that it has to say about single packets.
    fn configure(&self) -> Result<(), Box<dyn Error>> {
        let begin = clock::now();
        while self.carp("sysctl net.inet.carp").is_err() || !self.listens() {
            if clock::now() > begin + START {
                return Err("carp daemon does not listen".into());
            }
            sleep(PAUSE);
        }
        self.carp("sysctl net.inet.carp.log=7")?;
        self.carp("ifconfig carp1 vhid 1 pass secret carpdev eth0 192.0.2.1/24")?;
        Ok(())
    }

    /// A command given earlier would start a daemon of its own.
    fn listens(&self) -> bool {
        let inode = self.host(System::Carp).namespace().inode();
        self.scratch.join(inode.to_string()).join("ctl").exists()
    }

    fn file(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let pid = i32::try_from(child.id()).ok().map(Pid::from_raw);
            // Politely: keepalived ends its own children only then.
            if let Some(pid) = pid {
                let _ = kill(pid, Signal::SIGTERM);
            }
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// An advertisement of this system's protocol and group.
pub fn is_advert(system: System, frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0])
        && frame.get(23) == Some(&112)
        && frame.get(34) == Some(&0x21)
        && frame.get(35) == Some(&system.form().group())
}

const KEEPALIVED: &str = "\
global_defs {
  router_id floods
  script_user root
}
vrrp_instance group {
  state MASTER
  interface eth0
  virtual_router_id 3
  priority 200
  advert_int 1
  version 2
  authentication {
    auth_type PASS
    auth_pass secret
  }
  virtual_ipaddress {
    192.0.2.3/24
  }
}
";
