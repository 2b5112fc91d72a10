//! Everyone who reads here, connections and held polls, by user: so that those whose access ends can be ended at once,
//! and one user cannot take all the room there is.

use std::sync::Arc;

use dashmap::DashMap;

use super::reader::{Ending, Reader};
use crate::model::{Credential, UserId};

/// Everyone who reads here.
#[derive(Debug, Default)]
pub struct Present(DashMap<UserId, Vec<Arc<Reader>>>);

/// A reader's place; dropping it leaves.
#[derive(Debug)]
#[must_use = "dropping it leaves"]
pub struct Entered {
    present: Arc<Present>,
    reader: Arc<Reader>,
}

impl Present {
    /// Enters a reader, unless as many of its kind are here already for its user. From here on it is found by whatever
    /// ends its access.
    pub fn enter(self: &Arc<Self>, reader: &Arc<Reader>, most: usize) -> Option<Entered> {
        let mut readers = self.0.entry(reader.user().clone()).or_default();
        let others = readers.iter().filter(|other| other.is_connection() == reader.is_connection()).count();
        if others >= most {
            return None;
        }
        readers.push(reader.clone());
        Some(Entered { present: self.clone(), reader: reader.clone() })
    }

    /// Ends the readers of a user whose credential is of this kind.
    pub fn end_user(&self, user: &UserId, ending: Ending, of: impl Fn(&Credential) -> bool) {
        if let Some(readers) = self.0.get(user) {
            readers.iter().filter(|reader| reader.came_with(&of)).for_each(|reader| reader.end(ending));
        }
    }

    /// Ends whoever has a credential of this kind, by looking at all who are here.
    pub fn end_all(&self, ending: Ending, of: impl Fn(&Credential) -> bool) {
        for readers in &self.0 {
            readers.iter().filter(|reader| reader.came_with(&of)).for_each(|reader| reader.end(ending));
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let user = self.reader.user();
        if let Some(mut readers) = self.present.0.get_mut(user) {
            readers.retain(|other| !Arc::ptr_eq(other, &self.reader));
        }
        self.present.0.remove_if(user, |_, readers| readers.is_empty());
    }
}
