use anyhow::Result;
use libtest_mimic::Trial;
use crate::cases::Shared;
pub fn trials(_: &Shared) -> Result<Vec<Trial>> { Ok(Vec::new()) }
