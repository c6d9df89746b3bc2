//! The page and the browser module: the files of `browser/`, built into the program.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::header::{self, ETag, EntityTag, IfNoneMatch},
    web::{self, ServiceConfig},
};
use sha2::{Digest, Sha256};

use super::get;

struct File {
    name: &'static str,
    content: &'static [u8],
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(File { name: $name, content: include_bytes!(concat!("../../browser/", $name)) }),*]
    };
}

const FILES: &[File] = files![
    "announcer.js",
    "app.js",
    "composer.js",
    "describe.js",
    "detail.js",
    "dom.js",
    "feed.js",
    "guilds.js",
    "guildstream.js",
    "hops.js",
    "index.html",
    "rooms.js",
    "style.css",
    "voice-roster.js",
];

/// The hash of each file's content, in the order of [`FILES`].
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|file| Sha256::digest(file.content)[..16].iter().map(|byte| format!("{byte:02x}")).collect())
        .collect()
});

impl File {
    fn path(&self) -> String {
        if self.name == "index.html" { "/".to_owned() } else { format!("/{}", self.name) }
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        }
    }
}

/// One route per file.
pub(super) fn files(app: &mut ServiceConfig) {
    for (file, tag) in FILES.iter().zip(TAGS.iter()) {
        app.service(get(&file.path(), move |known: Option<web::Header<IfNoneMatch>>| async move {
            serve(file, tag, known)
        }));
    }
}

fn serve(file: &'static File, tag: &str, known: Option<web::Header<IfNoneMatch>>) -> HttpResponse {
    let tag = EntityTag::new_strong(tag.to_owned());
    let is_known = known.is_some_and(|known| match known.into_inner() {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|other| other.weak_eq(&tag)),
    });
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    // A browser keeps it and asks each time whether it is still the same: a new version shows at once.
    response.insert_header(ETag(tag)).insert_header((header::CACHE_CONTROL, "no-cache"));
    if is_known { response.finish() } else { response.content_type(file.content_type()).body(file.content) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let served = |name: &String| [".html", ".css", ".js"].iter().any(|end| name.ends_with(end));
        let names: BTreeSet<_> = names.filter(served).collect();
        assert_eq!(names, FILES.iter().map(|file| file.name.to_owned()).collect());
    }
}
