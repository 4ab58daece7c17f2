//! What is handed to `execve`: bytes as they came.

use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStringExt;

use nix::libc;

use super::search::candidates;

/// The environment, entry by entry, in its order and as its bytes: what we do not name stays what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<Vec<u8>>);

impl Environment {
    /// The environment this process was started with.
    #[allow(unsafe_code, reason = "the standard library drops entries without `=`, which the command would have seen")]
    pub fn inherited() -> Self {
        unsafe extern "C" {
            static environ: *const *const libc::c_char;
        }
        let mut entries = Vec::new();
        // SAFETY: POSIX keeps `environ` a null-terminated array of C strings, or null; nothing here changes it, and there is one thread.
        unsafe {
            let mut at = environ;
            while !at.is_null() && !(*at).is_null() {
                entries.push(CStr::from_ptr(*at).to_bytes().to_vec());
                at = at.add(1);
            }
        }
        Self(entries)
    }

    /// The value `getenv` would find: the first of several.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find_map(|entry| value(entry, name))
    }

    /// The same as text, if it is UTF-8 and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty())
    }

    /// Whether there is such a variable.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets a variable: in its place where it is there, at the end where not.
    pub fn set(&mut self, name: &str, new: &str) {
        let entry = format!("{name}={new}").into_bytes();
        match self.0.iter().position(|entry| value(entry, name).is_some()) {
            None => self.0.push(entry),
            Some(first) => {
                let mut index = 0;
                self.0.retain(|entry| {
                    index += 1;
                    index - 1 <= first || value(entry, name).is_none()
                });
                if let Some(place) = self.0.get_mut(first) {
                    *place = entry;
                }
            }
        }
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|entry| value(entry, name).is_none());
    }

    /// Removes every variable whose name begins so.
    pub fn remove_prefix(&mut self, prefix: &str) {
        self.0.retain(|entry| !entry.starts_with(prefix.as_bytes()));
    }

    /// The names of all variables that are UTF-8.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|entry| std::str::from_utf8(entry.split(|byte| *byte == b'=').next()?).ok())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(variables: T) -> Self {
        Self(variables.into_iter().map(|(name, value)| format!("{name}={value}").into_bytes()).collect())
    }
}

fn value<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// A program with its arguments and environment.
#[derive(Debug)]
pub struct Image {
    /// Paths to try, in order.
    pub paths: Vec<CString>,
    /// The arguments, the program's name first.
    pub argv: Vec<CString>,
    /// The environment.
    pub env: Vec<CString>,
}

impl Image {
    /// The program is looked up in the `PATH` of its own environment.
    pub fn new(argv: Vec<OsString>, env: Environment) -> Self {
        // Arguments and environment came from C strings: none holds a NUL.
        let c = |bytes: Vec<u8>| CString::new(bytes).unwrap_or_default();
        let argv: Vec<CString> = argv.into_iter().map(|word| c(word.into_vec())).collect();
        let program = argv.first().map(|word| word.to_bytes()).unwrap_or_default();
        let paths = candidates(program, env.get("PATH")).into_iter().map(c).collect();
        Self { paths, argv, env: env.0.into_iter().map(c).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_as_it_was() {
        let mut env =
            Environment(vec![b"A=1".to_vec(), b"odd".to_vec(), b"B=\xff".to_vec(), b"A=2".to_vec(), b"AB=3".to_vec()]);
        assert_eq!(env.get("A"), Some(&b"1"[..]));
        assert_eq!((env.get("odd"), env.text("B")), (None, None));
        env.set("A", "new");
        env.set("C", "");
        assert_eq!(env.0, [&b"A=new"[..], b"odd", b"B=\xff", b"AB=3", b"C="]);
        assert!(env.has("C") && env.text("C").is_none());
        env.remove("AB");
        env.remove_prefix("B");
        assert_eq!(env.0, [&b"A=new"[..], b"odd", b"C="]);
    }

    #[test]
    fn the_real_environment_is_read() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(Environment::inherited().text("PATH"), Some(path.as_str()));
    }
}
