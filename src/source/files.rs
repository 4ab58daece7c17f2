//! Policies from files and folders.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::policy::PolicySet;
use crate::policy::compile::Rules;
use crate::policy::load::{self, LoadErrors, PolicyError, PolicyFile};

/// The file of a policy suite.
pub const SUITE: &str = "tests.yaml";

/// Reads and compiles the policies at `paths`, each a file or a folder as [`expand`] takes it; the embedded default where there is no path.
///
/// # Errors
/// Every mistake of every file, those that cannot be read included.
pub fn load(paths: &[PathBuf], rules: &Rules) -> Result<PolicySet, LoadErrors> {
    let hint = "it must hold *.yaml, *.yml or *.json; folders in it and hidden files are not looked at";
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
        hint,
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
/// files, as `kubectl -f` takes them.
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
        // One that cannot be looked at is left to whoever opens it, and tells.
        if is_manifest(&file) && !file.is_dir() {
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

/// The text of a file, or of stdin by `-`.
///
/// # Errors
/// It cannot be read, is not UTF-8, or is over [`MAX_FILE`].
pub fn read(file: &Path) -> io::Result<String> {
    let source: Box<dyn Read> = if is_stdin(file) { Box::new(io::stdin()) } else { Box::new(fs::File::open(file)?) };
    let mut bytes = Vec::new();
    source.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
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

/// Visits each file below a folder, hidden folders left out.
///
/// # Errors
/// Where a folder cannot be listed.
pub fn each_below(path: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        visit(path);
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !path.is_dir() {
            visit(&path);
        } else if !hidden && depth < MAX_DEPTH {
            each_below(&path, depth + 1, visit)?;
        }
    }
    Ok(())
}

/// Whether a path means stdin.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The bytes of all files together; `None` where stdin is among them.
pub fn length(files: &[PathBuf]) -> Option<u64> {
    files.iter().map(|file| (!is_stdin(file)).then(|| fs::metadata(file).map_or(0, |m| m.len()))).sum()
}

/// The same as [`explain`], in a sentence.
pub fn cannot(error: &io::Error) -> String {
    let (message, hint) = explain(error);
    format!("cannot read: {message} ({hint})")
}

/// Why a path cannot be read, and what to do about it.
pub fn explain(error: &io::Error) -> (String, &'static str) {
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
