//! A file as an answer: all of it or the part that was asked for, read as it is sent.

use std::io::{self, SeekFrom};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream::try_unfold;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use super::{
    PackageFiles,
    range::{Part, wanted},
};
use crate::server::fleet::package::FileHash;

/// Read at once.
const CHUNK: usize = 64 * 1024;
/// What is named by its content never changes.
const FOREVER: &str = "private, max-age=31536000, immutable";

/// Is told what of a file was handed over to be sent, and is kept for as long as that is under way.
pub trait Watch: Send + 'static {
    fn sent(&self, bytes: u64);
}

/// Answers a GET or HEAD; `None` if the file is not there.
pub async fn answer(
    files: &PackageFiles,
    hash: FileHash,
    method: &Method,
    asked: &HeaderMap,
    watch: impl Watch,
) -> io::Result<Option<Response>> {
    let Some((mut file, size)) = files.open_file(hash).await? else { return Ok(None) };
    let tag = format!("\"{hash}\"");
    // A HEAD tells of the whole file: ranges are for GET alone.
    let part = if method == Method::GET { wanted(asked, &tag, size) } else { Part::Whole };
    let (status, first, length, range) = match part {
        Part::Whole => (StatusCode::OK, 0, size, None),
        Part::Range { first, last } => {
            let range = format!("bytes {first}-{last}/{size}");
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1, Some(range))
        }
        Part::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0, Some(format!("bytes */{size}"))),
    };
    let body = if length == 0 || method == Method::HEAD {
        Body::empty()
    } else {
        file.seek(SeekFrom::Start(first)).await?;
        stream(file, length, watch)
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    let texts = [(header::ETAG, Some(tag)), (header::CONTENT_RANGE, range)];
    for (name, text) in texts {
        // Digits, quotes and spaces are fine in a header.
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(Some(response))
}

fn stream(file: File, length: u64, watch: impl Watch) -> Body {
    Body::from_stream(try_unfold((file, length, watch), |(mut file, left, watch)| async move {
        if left == 0 {
            return Ok::<_, io::Error>(None);
        }
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        let count = file.read(&mut chunk).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(count);
        watch.sent(count as u64);
        Ok(Some((Bytes::from(chunk), (file, left - count as u64, watch))))
    }))
}
