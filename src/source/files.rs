//! Policies from files and folders.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::policy::load::{self, LoadErrors, PolicyError, PolicyFile};

/// The file of a policy suite.
pub const SUITE: &str = "tests.yaml";

/// To whoever names a folder in which [`expand`] finds nothing.
pub const MUST_HOLD: &str = "it must hold *.yaml, *.yml or *.json; folders in it and hidden files are not looked at";

/// Reads and compiles the policies at `paths`, each a file or a folder as [`expand`] takes it; the embedded default where there is no path.
///
/// # Errors
/// Every mistake of every file, those that cannot be read included.
pub fn load(paths: &[PathBuf], rules: &Rules) -> Result<PolicySet, LoadErrors> {
    loaded(
        paths,
        rules,
        &|path| {
            let files = expand(path)?;
            // Suites stand beside policies.
            let is_suite = |file: &Path| file != path && file.file_name().is_some_and(|name| name == SUITE);
            Ok(files.into_iter().filter(|file| !is_suite(file)).collect())
        },
        |_| false,
        MUST_HOLD,
    )
}

/// The same with folders at any depth, as [`below`] takes them; files in them that hold no policy but manifests of other kinds are passed over.
///
/// # Errors
/// Every mistake of every file, those that cannot be read included.
pub fn load_below(paths: &[PathBuf], rules: &Rules) -> Result<PolicySet, LoadErrors> {
    let hint = "no *.yaml, *.yml or *.json below it, hidden ones left out, has a document of kind InjectionPolicy";
    loaded(paths, rules, &below, load::Read::only_others, hint)
}

/// The policies at some paths, each of which stands for some files, less those that are not named and `passed_over`; `hint` is for a path
/// that stands for none.
fn loaded(
    paths: &[PathBuf],
    rules: &Rules,
    of: &dyn Fn(&Path) -> io::Result<Vec<PathBuf>>,
    passed_over: fn(&load::Read) -> bool,
    hint: &str,
) -> Result<PolicySet, LoadErrors> {
    if paths.is_empty() {
        return PolicySet::embedded(rules);
    }
    let (mut names, mut all, mut errors) = (Vec::new(), load::Read::default(), Vec::new());
    for path in paths {
        let before = names.len() + errors.len();
        match of(path) {
            Ok(files) => {
                for file in files {
                    match held(&file, rules) {
                        Ok((_, one)) if file != *path && passed_over(&one) => {}
                        Ok((name, one)) => {
                            names.push(name);
                            all.append(one);
                        }
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(error) => errors.push(cannot_read(path, &error)),
        }
        if names.len() + errors.len() == before {
            errors.push(unreadable(path, "no policy in this folder", hint));
        }
    }
    match PolicySet::from_read(all, &names, rules) {
        Ok(set) if errors.is_empty() => return Ok(set),
        Ok(_) => {}
        Err(LoadErrors(more)) => errors.extend(more),
    }
    // In the order of the arguments; what is wrong in one file stays in its order.
    errors.sort_by_key(|error| paths.iter().position(|path| Path::new(&error.file).starts_with(path)));
    Err(LoadErrors(errors))
}

/// What a file holds, and its name in messages.
fn held(file: &Path, rules: &Rules) -> Result<(String, load::Read), PolicyError> {
    let text = read(file).map_err(|error| cannot_read(file, &error))?;
    let name = file.display().to_string();
    let one = load::read(&[PolicyFile { name: name.clone(), text }], rules);
    Ok((name, one))
}

/// The file itself, or the manifests of a folder: `*.yaml`, `*.yml` and `*.json`, sorted, one level deep, without hidden
/// files, as `kubectl -f` takes them. In a folder only regular files and links to them are taken.
///
/// # Errors
/// Where the path does not exist or cannot be listed.
pub fn expand(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if is_manifest(&file) && is_taken(&file) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Largest file that is read into memory whole: policies and suites.
const MAX_FILE: u64 = 16 << 20;
/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 16;

/// A file, or stdin by `-`.
///
/// # Errors
/// It cannot be opened.
pub fn open(file: &Path) -> io::Result<Box<dyn Read + Send>> {
    let opened: Box<dyn Read + Send> =
        if is_stdin(file) { Box::new(io::stdin()) } else { Box::new(fs::File::open(file)?) };
    Ok(opened)
}

/// The text of a file, or of stdin by `-`.
///
/// # Errors
/// It cannot be read, is not UTF-8, or is over [`MAX_FILE`].
pub fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(file)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("over {} MiB", MAX_FILE >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The file itself, or the manifests of a folder as [`expand`] takes them, at any depth; suites beside policies are left out.
///
/// # Errors
/// Where the path does not exist or a folder cannot be listed.
pub fn below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    each_below(path, 0, &mut |file| {
        if is_manifest(file) && file.file_name().is_some_and(|name| name != SUITE) {
            files.push(file.to_owned());
        }
    })?;
    if !fs::metadata(path)?.is_dir() {
        files = vec![path.to_owned()];
    }
    files.sort();
    Ok(files)
}

/// Visits each file below a folder, hidden folders left out; of what is no regular file only one that is named itself.
///
/// # Errors
/// Where a folder cannot be listed: the error names it, where it is not the one that is given.
pub fn each_below(path: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        visit(path);
        return Ok(());
    }
    let own = |error: io::Error| if depth == 0 { error } else { InFolder { folder: path.to_owned(), error }.into() };
    for entry in fs::read_dir(path).map_err(own)? {
        let path = entry.map_err(own)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !path.is_dir() {
            if is_taken(&path) {
                visit(&path);
            }
        } else if !hidden && depth < MAX_DEPTH {
            each_below(&path, depth + 1, visit)?;
        }
    }
    Ok(())
}

/// What is wrong with a folder below the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", folder.display())]
struct InFolder {
    folder: PathBuf,
    error: io::Error,
}

impl From<InFolder> for io::Error {
    fn from(of: InFolder) -> Self {
        Self::new(of.error.kind(), of)
    }
}

/// Whether a file of a folder is taken. A FIFO would be waited for, and a device may have no end; one that cannot be looked at is left to whoever
/// opens it, and tells.
fn is_taken(file: &Path) -> bool {
    !fs::metadata(file).is_ok_and(|known| !known.is_file())
}

/// Whether what a path names is gone once it was read: stdin, a FIFO, a device.
pub fn is_read_once(path: &Path) -> bool {
    is_stdin(path) || fs::metadata(path).is_ok_and(|known| !known.is_file() && !known.is_dir())
}

/// Whether a path means stdin.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The bytes of all files together; `None` where one of them tells its length only by its end.
pub fn length(files: &[PathBuf]) -> Option<u64> {
    files.iter().map(|file| (!is_read_once(file)).then(|| fs::metadata(file).map_or(0, |m| m.len()))).sum()
}

/// The same as [`explain`], in a sentence.
pub fn cannot(error: &io::Error) -> String {
    let (message, hint) = explain(error);
    format!("cannot read: {message} ({hint})")
}

/// Why a path cannot be read, and what to do about it.
pub fn explain(error: &io::Error) -> (String, &'static str) {
    if let Some(InFolder { folder, error }) = error.get_ref().and_then(|inner| inner.downcast_ref::<InFolder>()) {
        let (message, hint) = explain(error);
        return (format!("{}: {message}", folder.display()), hint);
    }
    match error.kind() {
        io::ErrorKind::NotFound => {
            ("no such file or folder".to_owned(), "check the path; it is relative to the current folder")
        }
        io::ErrorKind::PermissionDenied => {
            ("permission denied".to_owned(), "make it readable for this user (chmod +r)")
        }
        io::ErrorKind::FileTooLarge => (error.to_string(), "split it"),
        io::ErrorKind::InvalidData => ("not UTF-8 text".to_owned(), "save it as UTF-8"),
        _ => (error.to_string(), "check the path and its permissions"),
    }
}

fn is_manifest(file: &Path) -> bool {
    let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && file.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known))
}

fn cannot_read(path: &Path, error: &io::Error) -> PolicyError {
    let (message, hint) = explain(error);
    unreadable(path, &format!("cannot read this policy: {message}"), hint)
}

fn unreadable(path: &Path, message: &str, hint: &str) -> PolicyError {
    PolicyError {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        path: String::new(),
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_visible_manifests_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "c.json", ".hidden.yaml", "notes.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("deeper.yaml")).unwrap();
        let names: Vec<_> =
            expand(dir.path()).unwrap().into_iter().map(|f| f.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.json"]);
    }

    /// Whatever waits for somebody to write into it is no manifest of a folder.
    #[test]
    fn in_a_folder_only_regular_files_and_links_to_them_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a.yaml"), "").unwrap();
        std::os::unix::fs::symlink("a.yaml", at("b.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("c.yaml")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("d.yaml")).status().unwrap();
        assert!(made.success());
        for list in [expand, below] {
            assert_eq!(list(dir.path()).unwrap(), [at("a.yaml"), at("b.yaml")]);
            // One that is named itself is meant.
            assert_eq!(list(&at("d.yaml")).unwrap(), [at("d.yaml")]);
        }
        let mut seen = 0;
        each_below(dir.path(), 0, &mut |_| seen += 1).unwrap();
        assert_eq!(seen, 2);
        let once = ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "gone.yaml"].map(|name| is_read_once(&at(name)));
        assert_eq!((once, is_read_once(dir.path())), ([false, false, true, true, false], false));
        assert_eq!((length(&[at("a.yaml")]), length(&[at("a.yaml"), at("d.yaml")])), (Some(0), None));
    }

    #[test]
    fn an_error_names_the_folder_that_cannot_be_read() {
        let inner = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = io::Error::from(InFolder { folder: "m/sub".into(), error: inner });
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), "m/sub: permission denied");
        assert!(
            cannot(&error).starts_with("cannot read: m/sub: permission denied (make it readable"),
            "{}",
            cannot(&error)
        );
    }

    #[test]
    fn folders_are_looked_into_where_policies_have_folders_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let policy = "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\n";
        fs::create_dir_all(dir.path().join("team/inputs")).unwrap();
        fs::write(dir.path().join("team/policy.yaml"), policy).unwrap();
        fs::write(dir.path().join("team/inputs/pod.yaml"), "apiVersion: v1\nkind: Pod\n").unwrap();
        fs::write(dir.path().join("team/tests.yaml"), "kind: PolicyTest\n").unwrap();
        let paths = [dir.path().to_owned()];
        assert_eq!(load_below(&paths, &Rules::default()).unwrap().policies().len(), 1);
        assert!(load(&paths, &Rules::default()).is_err());
        // One that is named has to be a policy.
        let pod = dir.path().join("team/inputs/pod.yaml");
        assert!(load_below(&[pod], &Rules::default()).is_err());
        let LoadErrors(none) = load_below(&[dir.path().join("team/inputs")], &Rules::default()).unwrap_err();
        assert!(none[0].message.contains("no policy in this folder"), "{none:?}");
        // Beside a policy, in one file, it is a mistake.
        let mixed = format!("{policy}---\napiVersion: v1\nkind: Pod\n");
        fs::write(dir.path().join("team/policy.yaml"), mixed).unwrap();
        let LoadErrors(errors) = load_below(&paths, &Rules::default()).unwrap_err();
        let in_it = |error: &PolicyError| error.file.ends_with("policy.yaml") && error.line > 3;
        assert!(errors.len() == 2 && errors.iter().all(in_it), "{errors:?}");
    }

    /// A name that leads nowhere is told, not passed over.
    #[test]
    fn what_cannot_be_read_in_a_folder_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let policy = "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\n";
        fs::write(dir.path().join("policy.yaml"), policy).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("x.yaml")).unwrap();
        assert_eq!(expand(dir.path()).unwrap().len(), 2);
        for load in [load, load_below] {
            let LoadErrors(errors) = load(&[dir.path().to_owned()], &Rules::default()).unwrap_err();
            assert!(errors.len() == 1 && errors[0].file.ends_with("x.yaml"), "{errors:?}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let broken = dir.path().join("broken.yaml");
        fs::write(
            &broken,
            "apiVersion: stepspan.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec: {enviroment: dev}\n",
        )
        .unwrap();
        let missing = dir.path().join("missing.yaml");
        let LoadErrors(errors) = load(&[missing, broken], &Rules::default()).unwrap_err();
        assert_eq!(errors.len(), 2);
        assert!(errors[0].message.contains("no such file") && errors[0].hint.is_some());
        assert_eq!((errors[1].line, errors[1].path.as_str()), (4, "spec.enviroment"));
    }

    #[test]
    fn no_path_is_the_embedded_default() {
        assert_eq!(load(&[], &Rules::default()).unwrap().policies().len(), 1);
    }
}
