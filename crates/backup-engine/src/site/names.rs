//! What people call what can be set.

/// What the settings of an engine are called where people set them, for messages that say what to do. Without it they
/// are called as the library calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingNames {
    /// A sentence on what gives an engine a source of transactional backups.
    pub states: String,
    /// The command of [`Recovery`](crate::Recovery).
    pub restart_command: String,
    /// A sentence on how an operator says that the clock is right.
    pub trust_clock: String,
}

impl Default for SettingNames {
    fn default() -> Self {
        Self {
            states: "EngineBuilder::states gives one".to_owned(),
            restart_command: "the restart command".to_owned(),
            trust_clock: "Engine::evict_trusting_clock says that it is right".to_owned(),
        }
    }
}
