//! Lists the files of the built page, so that each of them is embedded.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=page");
    let page = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("page");
    let mut paths = vec!["index.html".to_owned(), "licences.md".to_owned()];
    for entry in fs::read_dir(page.join("assets"))? {
        let name = entry?.file_name().into_string().map_err(|name| format!("{name:?} is not UTF-8"))?;
        paths.push(format!("assets/{name}"));
    }
    paths.sort();
    let mut list = String::from("&[\n");
    for path in &paths {
        let file = page.join(path);
        let file = file.to_str().ok_or("the folder's path is not UTF-8")?;
        writeln!(list, "    File {{ path: {path:?}, bytes: include_bytes!({file:?}) }},")?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("files.rs"), list)?;
    Ok(())
}
