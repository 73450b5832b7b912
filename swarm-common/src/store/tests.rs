//! Stores found, made and refused, with the git that is installed.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

fn open(dir: &Path) -> Result<Store, Failure> {
    Store::open(Some(dir.as_os_str()))
}

fn git(dir: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.current_dir(dir).args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]).args(args);
    let done = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().expect("git runs");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_missing_store_is_made_for_its_owner_alone_and_git_ignores_it() {
    let top = tempfile::tempdir().expect("a directory");
    let dir = top.path().join("a/b");
    let store = open(&dir).expect("made");
    assert_eq!(fs::metadata(store.dir()).expect("there").permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(dir.join(".gitignore")).expect("there"), "*\n");
    let cursors = store.cursors_dir().expect("made");
    assert_eq!(fs::metadata(&cursors).expect("there").permissions().mode() & 0o777, 0o700);
    assert_eq!(store.cursors_dir(), Ok(cursors), "and is found again");
}

#[test]
fn a_gitignore_that_was_not_written_is_written_by_the_next_and_a_users_own_is_left() {
    // A full disk, or a kill, at the one moment left a store open to git for ever.
    let top = tempfile::tempdir().expect("a directory");
    for name in [NAME, "store"] {
        let dir = top.path().join(name);
        let path = dir.join(".gitignore");
        files::create_dir(&dir).expect("made");
        for (before, after) in [(None, "*\n"), (Some(""), "*\n"), (Some("# commit it\n"), "# commit it\n"), (Some("*"), "*")] {
            let _ = fs::remove_file(&path);
            before.map_or(Ok(()), |text| fs::write(&path, text)).expect("written");
            open(&dir).expect("opened");
            assert_eq!(fs::read_to_string(&path).expect("there"), after, "{name}: {before:?}");
        }
        fs::remove_file(&path).expect("removed");
        symlink(top.path().join("nowhere"), &path).expect("linked");
        open(&dir).expect("opened");
        assert!(!top.path().join("nowhere").exists(), "a link is the user's own too");
    }
}

#[test]
fn a_link_a_file_a_store_that_others_may_write_to_and_one_of_another_user_are_refused() {
    let top = tempfile::tempdir().expect("a directory");
    let real = top.path().join("real");
    open(&real).expect("made");
    let link = top.path().join("link");
    symlink(&real, &link).expect("linked");
    symlink(top.path().join("nowhere"), top.path().join("dangling")).expect("linked");
    fs::write(top.path().join("file"), "").expect("written");
    for (name, why) in [("link", "symbolic link"), ("link/", "symbolic link"), ("dangling", "symbolic link"), ("file", "no directory")] {
        let failure = open(&top.path().join(name)).expect_err(name);
        assert_eq!(failure.exit.status(), 3);
        assert!(failure.what.contains(why), "{name}: {}", failure.what);
    }
    assert!(!top.path().join("nowhere").exists());
    for mode in [0o770, 0o702] {
        fs::set_permissions(&real, fs::Permissions::from_mode(mode)).expect("changed");
        let failure = open(&real).expect_err("open to others");
        assert!(failure.what.contains(&format!("mode {mode:o}")) && failure.hint.contains("chmod 700"), "{failure:?}");
    }
    // The root directory belongs to root; a root that runs this gives a directory away instead.
    let others = if geteuid().is_root() {
        let others = top.path().join("others");
        fs::create_dir(&others).expect("made");
        std::os::unix::fs::chown(&others, Some(12345), None).expect("given away");
        others
    } else {
        PathBuf::from("/")
    };
    let failure = open(&others).expect_err("another's");
    assert!(failure.what.contains("belongs to user"), "{}", failure.what);
}

#[test]
fn a_directory_with_other_things_in_it_is_no_store() {
    let top = tempfile::tempdir().expect("a directory");
    fs::write(top.path().join("Cargo.toml"), "").expect("written");
    let failure = open(top.path()).expect_err("a project");
    assert!(failure.what.contains("Cargo.toml") && failure.hint.contains("/.swarm"), "{failure:?}");
    assert!(!top.path().join(".gitignore").exists());
}

#[test]
fn the_nearest_store_upwards_is_found_else_the_place_beside_git() {
    let top = tempfile::tempdir().expect("a directory");
    let top = fs::canonicalize(top.path()).expect("real");
    let deep = top.join("repo/src/deep");
    fs::create_dir_all(&deep).expect("made");
    if top.ancestors().all(|above| !above.join(".git").exists() && !above.join(NAME).exists()) {
        let failure = find(&deep).expect_err("none");
        assert!(failure.exit.status() == 2 && failure.hint.contains("--store"), "{failure:?}");
    }
    git(&top.join("repo"), &["init", "-q"]);
    assert_eq!(find(&deep), Ok(top.join("repo/.swarm")));
    fs::create_dir(top.join(NAME)).expect("made");
    assert_eq!(find(&deep), Ok(top.join(NAME)), "what is there goes before what would be made");
    fs::create_dir(top.join("repo/src/.swarm")).expect("made");
    assert_eq!(find(&deep), Ok(top.join("repo/src/.swarm")), "the nearest");
}

#[test]
fn all_worktrees_of_a_repository_share_the_main_ones_store() {
    let top = tempfile::tempdir().expect("a directory");
    let top = fs::canonicalize(top.path()).expect("real");
    let (main, bare) = (top.join("main"), top.join("bare.git"));
    fs::create_dir(&main).expect("made");
    git(&main, &["init", "-q"]);
    git(&main, &["commit", "-q", "--allow-empty", "-m", "first"]);
    git(&main, &["worktree", "add", "-q", "../linked"]);
    assert_eq!(find(&top.join("linked")), Ok(main.join(NAME)));
    // A store further up is not nearer than the repository's own.
    fs::create_dir(top.join(NAME)).expect("made");
    fs::create_dir(main.join(NAME)).expect("made");
    assert_eq!(find(&top.join("linked")), Ok(main.join(NAME)));
    fs::remove_dir(top.join(NAME)).expect("removed");
    git(&top, &["clone", "-q", "--bare", "main", "bare.git"]);
    git(&bare, &["worktree", "add", "-q", "../of-bare", "-b", "x"]);
    assert_eq!(find(&top.join("of-bare")), Ok(bare.join(NAME)));
    fs::remove_dir_all(&bare).expect("removed");
    assert_eq!(find(&top.join("of-bare")), Ok(top.join("of-bare/.swarm")), "a broken link is no reason not to work");
}

/// A repository with a commit, in `dir`.
fn repository(dir: &Path) {
    fs::create_dir_all(dir).expect("made");
    git(dir, &["init", "-q"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", "first"]);
}

/// What lease paths are relative to, for somebody in `here` with that store.
fn root_of(store: &Path, here: &Path) -> PathBuf {
    fs::create_dir_all(store).expect("made");
    fs::create_dir_all(here).expect("made");
    let root = root(store, here).expect("a root");
    assert!(root.is_absolute());
    root
}

#[test]
fn lease_paths_are_relative_to_what_holds_the_store_and_with_a_store_elsewhere_to_the_git_top() {
    let top = tempfile::tempdir().expect("a directory");
    let top = fs::canonicalize(top.path()).expect("real");
    let (repo, deep) = (top.join("repo"), top.join("repo/src/deep"));
    repository(&repo);
    assert_eq!(root_of(&repo.join(NAME), &deep), repo);
    assert_eq!(root_of(&repo.join(NAME), &repo), repo);
    assert_eq!(root_of(&top.join("elsewhere"), &deep), repo);
    assert_eq!(root_of(&top.join(NAME), &deep), top, "one swarm over several repositories");
    assert_eq!(root_of(&repo.join("src/.swarm"), &deep), repo.join("src"), "the swarm of a part of a repository");
    assert_eq!(root_of(&repo.join(NAME), &top.join("other")), repo, "even from outside");
    let plain = top.join("plain/dir");
    assert_eq!(root_of(&top.join("plain/.swarm"), &plain), top.join("plain"));
    if top.ancestors().all(|above| !above.join(".git").exists()) {
        assert_eq!(root_of(&top.join("elsewhere"), &plain), plain, "in no repository: the current directory");
    }
}

#[test]
fn in_a_linked_worktree_lease_paths_are_relative_to_its_top() {
    let top = tempfile::tempdir().expect("a directory");
    let top = fs::canonicalize(top.path()).expect("real");
    let (main, beside, within) = (top.join("main"), top.join("beside"), top.join("main/.claude/worktrees/within"));
    repository(&main);
    git(&main, &["worktree", "add", "-q", "../beside"]);
    git(&main, &["worktree", "add", "-q", ".claude/worktrees/within"]);
    for linked in [&beside, &within] {
        let here = linked.join("src");
        assert_eq!(root_of(&main.join(NAME), &here), *linked, "the store of its repository");
        assert_eq!(root_of(&top.join("elsewhere"), &here), *linked);
        let name = linked.file_name().map(|name| name.to_string_lossy().into_owned());
        assert_eq!(worktree(&here), name);
    }
    assert_eq!(root_of(&within.join(NAME), &within.join("src")), within, "a store of its own");
    assert_eq!((root_of(&main.join(NAME), &main.join("src")), worktree(&main.join("src"))), (main.clone(), None));
    // One swarm over all of them tells their files apart.
    assert_eq!(root_of(&top.join(NAME), &beside), top);
    assert_eq!(root_of(&top.join(NAME), &main), top);
    // A worktree of another repository is not one of this store's.
    repository(&top.join("other"));
    assert_eq!(root_of(&top.join("other/.swarm"), &beside), top.join("other"));
    let bare = top.join("bare.git");
    git(&top, &["clone", "-q", "--bare", "main", "bare.git"]);
    git(&bare, &["worktree", "add", "-q", "../of-bare", "-b", "x"]);
    assert_eq!(root_of(&bare.join(NAME), &top.join("of-bare/src")), top.join("of-bare"));
}

#[test]
fn a_submodule_belongs_to_the_swarm_of_the_repository_around_it_in_a_linked_worktree_too() {
    let top = tempfile::tempdir().expect("a directory");
    let top = fs::canonicalize(top.path()).expect("real");
    let (main, linked) = (top.join("main"), top.join("linked"));
    repository(&main);
    repository(&top.join("module"));
    let from = ["-c", "protocol.file.allow=always"];
    git(&main, &[&from[..], &["submodule", "--quiet", "add", "../module", "sub"]].concat());
    git(&main, &["commit", "-q", "-m", "sub"]);
    git(&main, &["worktree", "add", "-q", "../linked"]);
    git(&linked, &[&from[..], &["submodule", "--quiet", "update", "--init"]].concat());
    for sub in [main.join("sub"), linked.join("sub")] {
        assert!(sub.join(".git").is_file(), "git put it there");
        assert_eq!(find(&sub), Ok(sub.join(NAME)), "while there is no store, it has its own");
        assert_eq!(root_of(&top.join("elsewhere"), &sub), sub, "as git tells its top");
    }
    fs::create_dir(main.join(NAME)).expect("made");
    for (above, name) in [(&main, None), (&linked, Some("linked".to_string()))] {
        let sub = above.join("sub");
        assert_eq!(find(&sub), Ok(main.join(NAME)));
        assert_eq!((root_of(&main.join(NAME), &sub), worktree(&sub)), (above.clone(), name));
    }
}

#[test]
fn the_root_is_spelled_as_the_current_directory_is_however_the_store_was_named() {
    let here = here().expect("a directory");
    let top = tempfile::tempdir().expect("a directory");
    let (real, link) = (top.path().join("real"), top.path().join("link"));
    fs::create_dir(&real).expect("made");
    symlink(&real, &link).expect("linked");
    let store = open(&link.join(NAME)).expect("made");
    assert_eq!(store.root(), Ok(fs::canonicalize(&real).expect("real")));
    let elsewhere = open(&top.path().join("elsewhere")).expect("made").root().expect("a root");
    assert!(here.starts_with(&elsewhere), "{}", elsewhere.display());
}

#[test]
fn who_only_looks_makes_nothing() {
    let top = tempfile::tempdir().expect("a directory");
    let dir = top.path().join("a/.swarm");
    let open_to_read = |dir: &Path| Store::open_to_read(Some(dir.as_os_str()));
    assert!(open_to_read(&dir).expect("looked").is_none());
    let nothing = Store::look(Some(dir.as_os_str())).expect("looked");
    assert_eq!((nothing.dir(), nothing.journal().bounds().map(|bounds| bounds.next_seq)), (dir.as_path(), Ok(1)));
    assert!(!top.path().join("a").exists());
    open(&dir).expect("made");
    assert!(open_to_read(&dir).expect("looked").is_some_and(|store| store.dir() == dir));
    symlink(&dir, top.path().join("link")).expect("linked");
    assert_eq!(open_to_read(&top.path().join("link")).expect_err("refused").exit.status(), 3);
    symlink("nowhere", top.path().join("dangling")).expect("linked");
    assert_eq!(open_to_read(&top.path().join("dangling")).expect_err("refused").exit.status(), 3);
}
