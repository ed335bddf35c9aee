//! The sysctls that can be set; must not know how they are typed or what follows.

use crate::carp::config::{Dataplane, Settings};
use serde::{Deserialize, Serialize};

/// A sysctl and its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting {
    /// net.inet.carp.allow
    Allow(bool),
    /// net.inet.carp.preempt
    Preempt(bool),
    /// net.inet.carp.log
    Log(u8),
    /// net.inet.carp.replay
    Replay(bool),
    /// net.inet.carp.demotion: the value is added.
    Demotion(i32),
    /// net.inet.carp.senderr_demotion_factor
    SenderrDemotionFactor(i32),
    /// net.inet.carp.ifdown_demotion_factor
    IfdownDemotionFactor(i32),
    /// net.inet.carp.dscp
    Dscp(u8),
    /// net.inet.carp.grace
    Grace(u16),
    /// net.inet.carp.arpbalance
    Arpbalance(bool),
    /// net.inet.carp.dataplane; only while there is no carp interface.
    Dataplane(Dataplane),
}

impl Setting {
    /// The name under which sysctl knows it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow(_) => "net.inet.carp.allow",
            Self::Preempt(_) => "net.inet.carp.preempt",
            Self::Log(_) => "net.inet.carp.log",
            Self::Replay(_) => "net.inet.carp.replay",
            Self::Demotion(_) => "net.inet.carp.demotion",
            Self::SenderrDemotionFactor(_) => "net.inet.carp.senderr_demotion_factor",
            Self::IfdownDemotionFactor(_) => "net.inet.carp.ifdown_demotion_factor",
            Self::Dscp(_) => "net.inet.carp.dscp",
            Self::Grace(_) => "net.inet.carp.grace",
            Self::Arpbalance(_) => "net.inet.carp.arpbalance",
            Self::Dataplane(_) => "net.inet.carp.dataplane",
        }
    }
}

impl Settings {
    /// The settings after one change; net.inet.carp.demotion is added to.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Allow(on) => self.allow = on,
            Setting::Preempt(on) => self.preempt = on,
            Setting::Log(level) => self.log = level,
            Setting::Replay(on) => self.replay = on,
            Setting::Demotion(more) => self.demotion = self.demotion.saturating_add(more),
            Setting::SenderrDemotionFactor(factor) => self.senderr_demotion_factor = factor,
            Setting::IfdownDemotionFactor(factor) => self.ifdown_demotion_factor = factor,
            Setting::Dscp(point) => self.dscp = point,
            Setting::Grace(seconds) => self.grace = seconds,
            Setting::Dataplane(plane) => self.dataplane = plane,
            Setting::Arpbalance(on) => self.arpbalance = on,
        }
    }
}
