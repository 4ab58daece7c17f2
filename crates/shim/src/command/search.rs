//! Where a command is looked for, as `execvp` does (POSIX, "exec"; glibc `posix/execvpe.c`), but for its last resort: a file
//! that is no program is not given to a shell.

/// What is searched where there is no `PATH` (glibc, `confstr(_CS_PATH)`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// The paths to try for a command, in order; none for an empty name.
pub fn candidates(program: &[u8], path: Option<&[u8]>) -> Vec<Vec<u8>> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    let folders = path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':');
    folders
        .map(|folder| match folder {
            // An empty part is the working directory.
            [] => program.to_vec(),
            folder => [folder, b"/", program].concat(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_as_execvp_does() {
        let of = |program: &str, path: Option<&str>| {
            let found = candidates(program.as_bytes(), path.map(str::as_bytes));
            found.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("make", Some("/usr/local/bin:/bin")), ["/usr/local/bin/make", "/bin/make"]);
        assert_eq!(of("make", Some(":/bin")), ["make", "/bin/make"]);
        assert_eq!(of("make", None), ["/bin/make", "/usr/bin/make"]);
        assert_eq!(of("./make", Some("/bin")), ["./make"]);
        assert_eq!(of("", Some("/bin")), [""; 0]);
    }
}
