//! Completions, man pages, the plugin of kubectl.

use std::fs;
use std::process::Command;

use super::PROGRAM;
use super::repository::shown;

#[test]
fn bash_completes_with_what_is_printed() {
    let script = r#"source <("$0" completions bash) && COMP_WORDS=(stepspan li) COMP_CWORD=1 && _stepspan stepspan li stepspan && echo "${COMPREPLY[@]}""#;
    let done = Command::new("bash").args(["-c", script, PROGRAM]).output().unwrap();
    assert_eq!(shown(&done).trim(), "lint", "{}", String::from_utf8_lossy(&done.stderr));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let done = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        assert!(done.status.success() && shown(&done).contains("dry-run"), "{shell}");
    }
}

#[test]
fn each_command_has_a_man_page_with_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    assert!(Command::new(PROGRAM).arg("man").arg(&into).status().unwrap().success());
    let help = shown(&Command::new(PROGRAM).arg("--help").output().unwrap());
    let commands =
        help.split("Commands:").nth(1).unwrap().lines().skip(1).map_while(|line| line.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|name| *name != "help").collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let page = fs::read_to_string(into.join(format!("stepspan-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains("help"), "{command}");
    }
    assert!(fs::read_to_string(into.join("stepspan.1")).unwrap().contains("stepspan"));
}

#[test]
fn under_the_name_of_a_kubectl_plugin_usage_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-stepspan");
    std::os::unix::fs::symlink(PROGRAM, &plugin).unwrap();
    let help = Command::new(&plugin).args(["lint", "--help"]).output().unwrap();
    assert!(shown(&help).contains("Usage: kubectl stepspan lint"), "{}", shown(&help));
    let help = Command::new(PROGRAM).args(["lint", "--help"]).output().unwrap();
    assert!(shown(&help).contains("Usage: stepspan lint"));
}
