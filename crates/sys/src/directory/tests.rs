use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dormouse-directory-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn create(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn inode(directory: &Directory) -> u64 {
    fstat(directory).unwrap().st_ino
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no O_PATH")]
fn the_writer_depends_on_owner_mode_and_sticky_bit() {
    let us = rustix::process::geteuid().as_raw();
    let found = |kind: FileType, mode: u32, uid: u32| {
        let mut found = fstat(open("/", DIRECTORY, Mode::empty()).unwrap()).unwrap();
        (found.st_mode, found.st_uid, found.st_gid) = (kind.as_raw_mode() | mode, uid, 7);
        Writer::of(&found)
    };
    for (mode, uid, expected) in [
        (0o755, us, None),
        (0o755, 0, None),
        (0o755, us + 1, Some(Writer::User(us + 1))),
        (0o1777, 0, None),
        (0o1777, us + 1, Some(Writer::User(us + 1))),
        (0o777, 0, Some(Writer::Everybody)),
        (0o777, us + 1, Some(Writer::Everybody)),
        (0o775, 0, Some(Writer::Group(7))),
        (0o1775, 0, None),
    ] {
        assert_eq!(found(FileType::Directory, mode, uid), expected, "{mode:o} {uid}");
    }
    // The bit has no meaning for a file.
    assert_eq!(found(FileType::RegularFile, 0o1666, us), Some(Writer::Everybody));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no O_PATH")]
fn a_path_is_followed_as_the_kernel_does() {
    let dir = Dir::new("path");
    let (inner, expected) = (dir.create("a", 0o755), dir.create("a/b", 0o755));
    symlink("a", dir.0.join("relative")).unwrap();
    symlink(&inner, dir.0.join("absolute")).unwrap();
    symlink("loop", dir.0.join("loop")).unwrap();
    fs::write(dir.0.join("file"), "").unwrap();
    for path in ["a/b", "a/./b", "a/b/../../a/b", "relative/b", "absolute/b", "absolute/../relative/b"] {
        let opened = Directory::open(&dir.0.join(path)).unwrap();
        assert_eq!(inode(&opened), fs::metadata(&expected).unwrap().ino(), "{path}");
    }
    let failed = |path: &str| match Directory::open(&dir.0.join(path)).unwrap_err() {
        DirectoryError::System(error) => Errno::from_io_error(&error),
        other @ DirectoryError::ForeignLink { .. } => panic!("{other}"),
    };
    assert_eq!(failed("none"), Some(Errno::NOENT));
    assert_eq!(failed("file"), Some(Errno::NOTDIR));
    assert_eq!(failed("loop"), Some(Errno::LOOP));
    assert!(Directory::open(Path::new("relative")).is_err());
    assert_eq!(inode(&Directory::open(Path::new("/")).unwrap()), fs::metadata("/").unwrap().ino());
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no O_PATH")]
fn a_link_that_another_user_may_have_placed_is_not_followed() {
    let dir = Dir::new("foreign");
    let theirs = dir.create("theirs", 0o777);
    dir.create("target", 0o755);
    let link = theirs.join("link");
    symlink(dir.0.join("target"), &link).unwrap();
    // Root gives the link to another user. Other users cannot, so that there the process is taken for one of another
    // user.
    let (us, owner) = match own_id() {
        0 => {
            std::os::unix::fs::lchown(&link, Some(65_534), Some(65_534)).unwrap();
            (0, 65_534)
        }
        own => (own + 1, own),
    };
    let error = Directory::open_as(us, &link).unwrap_err();
    assert!(
        matches!(&error, DirectoryError::ForeignLink { link: found, owner: by } if *found == link && *by == owner),
        "{error}"
    );
    assert!(error.to_string().contains("write the path without it"), "{error}");
    // In a sticky directory others cannot replace a link, but place one.
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(matches!(Directory::open_as(us, &link), Err(DirectoryError::ForeignLink { .. })));
    // The user's own links, and links of others in a directory of root or of this user.
    Directory::open_as(owner, &link).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
    Directory::open(&link).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no O_PATH")]
fn a_private_directory_is_for_this_user_and_disappears() {
    let dir = Dir::new("private");
    let parent = Directory::open(&dir.0).unwrap();
    let names = || fs::read_dir(&dir.0).unwrap().count();
    {
        let (one, two) =
            (parent.create_private("x".as_ref()).unwrap(), parent.create_private("x".as_ref()).unwrap());
        assert_eq!(names(), 2);
        let path = one.path_by_descriptor("file");
        fs::write(&path, "").unwrap();
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o077, 0);
        assert!(one.file("file").is_ok() && two.file("file").is_err());
        one.remove("file").unwrap();
    }
    assert_eq!(names(), 0);
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no O_PATH")]
fn a_path_that_others_can_redirect_is_not_used() {
    let dir = Dir::new("redirected");
    let open_to_all = dir.create("a", 0o777);
    let below = dir.create("a/b", 0o755);
    for path in [open_to_all, below] {
        let parent = Directory::open(&path).unwrap();
        assert_eq!(parent.create_private("x".as_ref()).unwrap().path_of("s"), None, "{}", path.display());
    }
    let parent = Directory::open(&dir.0).unwrap();
    let private = parent.create_private("x".as_ref()).unwrap();
    // The directory of temporary files may be in one that others may write to.
    assert!(private.path_of("s").is_none_or(|path| path.starts_with(&dir.0) && path.ends_with("s")));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no O_PATH")]
fn a_replaced_private_directory_is_noticed() {
    let dir = Dir::new("replaced");
    let parent = Directory::open(&dir.0).unwrap();
    dir.create("x", 0o755);
    assert!(PrivateDirectory::open(&parent, "x".into()).is_err());
    symlink("/", dir.0.join("y")).unwrap();
    assert!(PrivateDirectory::open(&parent, "y".into()).is_err());
}
