//! What schedules have shown.

/// What a schedule has shown.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    pub started: u64,
    pub refused: u64,
    pub gave_up: u64,
    pub crashes: u64,
    pub killed: u64,
    /// Workers that were taken for dead and lived.
    pub fenced: u64,
    /// Reports of dead workers that arrived.
    pub came_back: u64,
    /// Most by which a limit was overrun, and schedules in which one was.
    pub strict: u64,
    pub overrun_strict: u64,
    pub elastic: u64,
    pub overrun_elastic: u64,
}

impl Summary {
    pub fn add(&mut self, it: &Self) {
        self.started += it.started;
        self.refused += it.refused;
        self.gave_up += it.gave_up;
        self.crashes += it.crashes;
        self.killed += it.killed;
        self.fenced += it.fenced;
        self.came_back += it.came_back;
        self.strict = self.strict.max(it.strict);
        self.elastic = self.elastic.max(it.elastic);
        self.overrun_strict += it.overrun_strict;
        self.overrun_elastic += it.overrun_elastic;
    }
}
