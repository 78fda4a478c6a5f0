//! A guardrail that is a row of checks over every text.

use std::sync::Arc;

use super::{Local, Place, Refusal, Refused, Restore};

/// The row, and what is said when one of them refuses.
pub(crate) struct Plain {
    pub(crate) readers: Vec<Arc<dyn guard::Check>>,
    pub(crate) restore: Option<Restore>,
    pub(crate) refusal: fn(&Refused<'_>) -> Refusal,
}

impl Plain {
    pub(crate) fn new(
        reader: impl guard::Check + 'static,
        refusal: fn(&Refused<'_>) -> Refusal,
    ) -> Self {
        Self {
            readers: vec![Arc::new(reader)],
            restore: None,
            refusal,
        }
    }
}

impl Local for Plain {
    fn readers(&self, _place: Place) -> &[Arc<dyn guard::Check>] {
        &self.readers
    }

    fn refusal(&self, refused: &Refused<'_>) -> Refusal {
        (self.refusal)(refused)
    }

    fn restores(&self) -> Option<Restore> {
        self.restore
    }
}
