//! Which images a command is about, and where their pictures go.

use super::Stop;
use clap::Args;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Endings of the files in a folder that are taken for images; a file that is named itself may end as it likes.
const ENDINGS: [&str; 9] = [
    "jpg", "jpeg", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff",
];

/// The images of a command.
#[derive(Debug, Args)]
pub struct Inputs {
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF), folders of them, or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also take the images of folders inside folders.
    #[arg(long)]
    recursive: bool,
    /// Draw what was found: into this `.png` file for one image, into this folder for any number.
    #[arg(long, value_name = "PNG|FOLDER")]
    render: Option<PathBuf>,
}

/// An image of a command.
#[derive(Debug)]
pub struct Image {
    /// Its file; `-` is standard input.
    pub path: PathBuf,
    /// Why there is none: what was named is no file, or a folder without images.
    pub fault: Option<String>,
    /// Where its picture goes.
    pub picture: Option<PathBuf>,
    /// Its path below the folder that was named.
    name: PathBuf,
}

impl Image {
    fn new(path: PathBuf, name: PathBuf) -> Self {
        Self {
            path,
            fault: None,
            picture: None,
            name,
        }
    }
}

impl Inputs {
    /// The images in the order they were named; those of a folder by name.
    ///
    /// # Errors
    /// When the pictures cannot go where they are to go.
    pub fn find(&self) -> Result<Vec<Image>, Stop> {
        let pictures = match &self.render {
            Some(to) => Some(self.destination(to)?),
            None => None,
        };
        // Pictures of an earlier run are no images of this one.
        let except = match &pictures {
            Some(Destination::Folder(folder)) => std::fs::canonicalize(folder).ok(),
            _ => None,
        };
        let mut images = below(&self.paths, self.recursive, except.as_deref());
        if let Some(pictures) = pictures {
            pictures.share_out(&mut images)?;
        }
        Ok(images)
    }

    fn destination(&self, to: &Path) -> Result<Destination, Stop> {
        let usage = |what: &str| Err(Stop::Usage(format!("--render {}: {what}", to.display())));
        let ending = ending(to);
        let one = matches!(&self.paths[..], [path] if !path.is_dir());
        if to.is_dir() {
            return Ok(Destination::Folder(to.to_owned()));
        }
        if to.exists() && !one {
            return usage("several pictures need a folder, and this is a file");
        }
        match ending.as_str() {
            "png" if one => Ok(Destination::File(to.to_owned())),
            "png" => usage("several pictures need a folder"),
            other if ENDINGS.contains(&other) => usage("pictures are PNG files"),
            _ if to.exists() => usage("a picture's file must end in .png"),
            _ => Ok(Destination::Folder(to.to_owned())),
        }
    }
}

/// The images that paths name, in their order; those of a folder by name.
pub fn below(paths: &[PathBuf], recursive: bool, except: Option<&Path>) -> Vec<Image> {
    let mut images = Vec::new();
    for path in paths {
        if path.is_dir() {
            images.extend(walk(path, recursive, except));
        } else {
            let name = path.file_name().map_or_else(|| path.clone(), PathBuf::from);
            images.push(Image::new(path.clone(), name));
        }
    }
    images
}

/// Where the picture of one command that draws a single one goes.
///
/// # Errors
/// When it is no PNG file, or one of the images.
pub fn single(to: &Path, images: &[PathBuf]) -> Result<PathBuf, Stop> {
    if to.is_dir() || ending(to) != "png" {
        let message = format!(
            "--render {}: the picture's file must end in .png",
            to.display()
        );
        return Err(Stop::Usage(message));
    }
    spare(to, &existing(images.iter()))?;
    Ok(to.to_owned())
}

/// Where pictures go.
enum Destination {
    File(PathBuf),
    Folder(PathBuf),
}

impl Destination {
    /// A place for each image: its own name with `.png`, and a number where that is taken.
    fn share_out(self, images: &mut [Image]) -> Result<(), Stop> {
        let inputs = existing(images.iter().map(|image| &image.path));
        let mut taken = HashSet::new();
        for image in images {
            if image.fault.is_some() {
                continue;
            }
            let picture = match &self {
                Self::File(file) => file.clone(),
                Self::Folder(folder) => {
                    let name = match image.path.as_os_str() == "-" {
                        true => Path::new("stdin"),
                        false => &image.name,
                    };
                    let named = folder.join(name.with_extension("png"));
                    let stem = named.file_stem().unwrap_or_default().to_string_lossy();
                    let numbered =
                        (2..).map(|number| named.with_file_name(format!("{stem}-{number}.png")));
                    let mut all = std::iter::once(named.clone()).chain(numbered);
                    all.find(|name| !taken.contains(name)).unwrap_or(named)
                }
            };
            spare(&picture, &inputs)?;
            taken.insert(picture.clone());
            image.picture = Some(picture);
        }
        Ok(())
    }
}

/// The files that exist, under the names by which they can be compared.
fn existing<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> HashSet<PathBuf> {
    paths
        .filter_map(|path| std::fs::canonicalize(path).ok())
        .collect()
}

/// Refuses to write over an image.
fn spare(picture: &Path, images: &HashSet<PathBuf>) -> Result<(), Stop> {
    let same = std::fs::canonicalize(picture).is_ok_and(|file| images.contains(&file));
    match same {
        true => Err(Stop::Usage(format!(
            "the picture {} would take the place of an image",
            picture.display()
        ))),
        false => Ok(()),
    }
}

fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_ascii_lowercase()
}

/// The images of a folder by name; folders in it are gone into at their place, but not through links. One with a fault
/// where there are none or the folder cannot be read.
fn walk(folder: &Path, recursive: bool, except: Option<&Path>) -> Vec<Image> {
    let mut images = Vec::new();
    let mut skipped = false;
    // The next to look at is the last.
    let mut ahead = vec![(folder.to_owned(), true)];
    while let Some((path, is_folder)) = ahead.pop() {
        if !is_folder {
            let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
            images.push(Image::new(path, name));
            continue;
        }
        let entries =
            std::fs::read_dir(&path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                images.push(Image {
                    fault: Some(format!("the folder cannot be read: {error}")),
                    ..Image::new(path.clone(), path)
                });
                continue;
            }
        };
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        for entry in entries {
            let path = entry.path();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                let excepted =
                    except.is_some() && std::fs::canonicalize(&path).ok().as_deref() == except;
                match recursive && !excepted {
                    true => ahead.push((path, true)),
                    false => skipped |= !excepted,
                }
            } else if ENDINGS.contains(&ending(&path).as_str()) && path.is_file() {
                ahead.push((path, false));
            }
        }
    }
    if images.is_empty() {
        let hint = match skipped {
            true => "; --recursive looks into the folders inside",
            false => "",
        };
        images.push(Image {
            fault: Some(format!("there are no images in the folder{hint}")),
            ..Image::new(folder.to_owned(), PathBuf::new())
        });
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, b"x").expect("written");
        }
        folder
    }

    fn inputs(root: &Path, paths: &[&str], recursive: bool, render: Option<&str>) -> Inputs {
        Inputs {
            paths: paths.iter().map(|path| root.join(path)).collect(),
            recursive,
            render: render.map(|to| root.join(to)),
        }
    }

    /// Paths of images and of their pictures, below the root.
    fn found(root: &Path, inputs: &Inputs) -> Vec<(String, Option<String>)> {
        let below = |path: &Path| {
            let path = path.strip_prefix(root).unwrap_or(path);
            path.to_string_lossy().replace('\\', "/")
        };
        let images = inputs.find().ok().expect("no wrong use");
        let image = |image: &Image| match &image.fault {
            Some(fault) => (format!("{}: {fault}", below(&image.path)), None),
            None => (below(&image.path), image.picture.as_deref().map(below)),
        };
        images.iter().map(image).collect()
    }

    fn names(list: &[(String, Option<String>)]) -> Vec<&str> {
        list.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn folders_hold_images_by_their_endings() {
        let files = [
            "p/b.JPG",
            "p/a.png",
            "p/notes.txt",
            "p/c/d.webp",
            "p/a/e.tiff",
        ];
        let root = folder(&files);
        let root = root.path();
        let flat = found(root, &inputs(root, &["p", "p/notes.txt"], false, None));
        assert_eq!(names(&flat), ["p/a.png", "p/b.JPG", "p/notes.txt"]);
        let deep = found(root, &inputs(root, &["p"], true, None));
        assert_eq!(
            names(&deep),
            ["p/a/e.tiff", "p/a.png", "p/b.JPG", "p/c/d.webp"]
        );
    }

    #[test]
    fn folders_without_images_are_faults() {
        let root = folder(&["p/notes.txt", "q/r/a.png"]);
        let root = root.path();
        let none = found(root, &inputs(root, &["p", "q"], false, None));
        assert_eq!(
            names(&none),
            [
                "p: there are no images in the folder",
                "q: there are no images in the folder; --recursive looks into the folders inside"
            ]
        );
    }

    #[test]
    fn pictures_keep_their_names_and_never_meet() {
        let root = folder(&["p/a.jpg", "p/a.png", "p/c/a.jpg", "b.jpg", "d/b.gif"]);
        let root = root.path();
        let all = inputs(root, &["p", "b.jpg", "d/b.gif"], true, Some("out"));
        let pictures: Vec<_> = found(root, &all).into_iter().map(|(_, to)| to).collect();
        let wanted = [
            "out/a.png",
            "out/a-2.png",
            "out/c/a.png",
            "out/b.png",
            "out/b-2.png",
        ];
        assert_eq!(pictures, wanted.map(|name| Some(name.to_owned())));
        let one = found(root, &inputs(root, &["b.jpg"], false, Some("drawn.png")));
        assert_eq!(one[0].1.as_deref(), Some("drawn.png"));
        let one = found(root, &inputs(root, &["b.jpg"], false, Some("d")));
        assert_eq!(one[0].1.as_deref(), Some("d/b.png"));
    }

    #[test]
    fn earlier_pictures_are_not_looked_at_again() {
        let root = folder(&["p/a.jpg", "p/drawn/a.png"]);
        let root = root.path();
        let again = found(root, &inputs(root, &["p"], true, Some("p/drawn")));
        assert_eq!(names(&again), ["p/a.jpg"]);
        assert_eq!(again[0].1.as_deref(), Some("p/drawn/a.png"));
    }

    #[test]
    fn pictures_do_not_go_where_they_do_harm() {
        let root = folder(&["p/a.png", "b.jpg", "file", "two/a.jpg", "two/a.png"]);
        let root = root.path();
        for (paths, render) in [
            (&["b.jpg", "p/a.png"][..], "out.png"),
            (&["p"], "out.png"),
            (&["p"], "file"),
            (&["b.jpg"], "file"),
            (&["b.jpg"], "out.jpg"),
            // Over the images themselves.
            (&["p"], "p"),
            (&["p/a.png"], "p/a.png"),
            (&["two"], "two"),
        ] {
            let wrong = inputs(root, paths, false, Some(render)).find();
            assert!(
                matches!(wrong, Err(Stop::Usage(_))),
                "{paths:?} to {render}"
            );
        }
        let image = root.join("p/a.png");
        assert!(single(&image, std::slice::from_ref(&image)).is_err());
        assert!(single(&root.join("x.jpg"), &[]).is_err());
        assert!(single(&root.join("x.png"), &[image]).is_ok());
    }
}
