//! Unpacks what is served of Swagger UI, so that the program holds these files and not the whole archive.

use std::error::Error;
use std::io::Cursor;
use std::path::PathBuf;
use std::{env, fs, io};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

const FILES: [&str; 3] = ["favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui.css"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let path = PathBuf::from(&*file.name()?);
        // dist/ of the archive's one directory, and not those further down.
        let is_built =
            path.components().count() == 3 && path.parent().is_some_and(|folder| folder.ends_with("dist"));
        let wanted = FILES.into_iter().find(|name| is_built && path.ends_with(name));
        if let Some(name) = wanted {
            io::copy(&mut file, &mut fs::File::create(out.join(name))?)?;
        }
    }
    Ok(())
}
