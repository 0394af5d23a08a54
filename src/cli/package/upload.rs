//! `package upload`: an artefact becomes a file of the server, and a variant of an AgentPackage.

use std::{io::Read, path::Path};

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::{
        args::{PackageType, Upload},
        bar::Progress,
        client::Client,
        kind::Kind,
        manifest, output,
    },
    Error, content, open, read_text, signature_of,
};
use crate::package::Claims;

/// What is uploaded, and for whom.
struct Artefact {
    name: String,
    version: String,
    os: String,
    arch: String,
    signature: Option<String>,
}

pub(in crate::cli) async fn run(client: &Client, upload: &Upload) -> Result<(), Error> {
    let artefact = artefact(upload)?;
    let namespace = upload.namespace.name();
    let resource =
        upload.resource.clone().unwrap_or_else(|| resource_name(&artefact.name, &artefact.version));
    manifest::check_name(&resource).map_err(Error::Usage)?;
    let path = Kind::AgentPackage.object(namespace, &resource);
    let there = client.find(&path).await?;
    if let Some(there) = &there {
        fits(there, &artefact, &resource)?;
    }
    let (size, sha256) = match &upload.url {
        Some(_) => hash(&upload.file)?,
        None => send(client, &upload.file, artefact.signature.as_deref()).await?,
    };
    let mut variant = json!({"os": artefact.os, "arch": artefact.arch});
    match &upload.url {
        Some(url) => (variant["downloadUrl"], variant["contentHash"]) = (json!(url), json!(sha256)),
        None => variant["file"] = json!(sha256),
    }
    if let Some(signature) = &artefact.signature {
        variant["signature"] = json!(signature);
    }
    let change = match there {
        None => {
            let body = new_package(&resource, namespace, &artefact, upload.kind, &variant);
            client.post(&Kind::AgentPackage.collection(namespace), &body).await?;
            "created"
        }
        Some(there) => match extended(&there, &variant, upload)? {
            Some(body) => {
                client.put(&path, &body).await?;
                "extended"
            }
            None => "unchanged",
        },
    };
    let Artefact { name, version, os, arch, .. } = &artefact;
    output::print(&output::clean(&format!(
        "agentpackage/{resource} {change}: {name} {version} for {os}/{arch}, {size} bytes, sha256 {sha256}\n"
    )))?;
    if artefact.signature.is_none() {
        eprintln!("warning: it is not signed; hosts refuse it unless they are told to take anything");
    }
    Ok(())
}

/// As it is signed, and as it is told where nothing is.
fn artefact(upload: &Upload) -> Result<Artefact, Error> {
    let usual = signature_of(&upload.file);
    let path = upload.signature.clone().or_else(|| usual.exists().then_some(usual));
    let signature = path.as_deref().map(read_text).transpose()?;
    let claims = signature.as_deref().map(|text| Claims::unverified(text.as_bytes()));
    let claims = claims.transpose().map_err(|why| content(path.as_deref().unwrap_or(&upload.file), &why))?;
    let given = [
        ("name", upload.name.as_ref().map(ToString::to_string), claims.as_ref().map(|c| c.name.to_string())),
        (
            "version",
            upload.version.as_ref().map(ToString::to_string),
            claims.as_ref().map(|c| c.version.to_string()),
        ),
        ("os", upload.os.clone(), claims.as_ref().map(|c| c.os.clone()).or_else(|| Some("linux".to_owned()))),
        ("arch", upload.arch.clone(), claims.as_ref().map(|c| c.arch.clone())),
    ];
    let [name, version, os, arch] = given.map(|(key, told, signed)| match (told, signed) {
        (Some(told), Some(signed)) if told != signed && claims.is_some() => {
            Err(Error::Usage(format!("--{key} says {told}, but the signature is for {signed}")))
        }
        (Some(value), _) | (None, Some(value)) => Ok(value),
        (None, None) => Err(Error::Usage(format!(
            "--{key} is missing; without a signature beside the file ({}) it must be told",
            signature_of(&upload.file).display()
        ))),
    });
    Ok(Artefact { name: name?, version: version?, os: os?, arch: arch?, signature })
}

/// A name that a resource may have.
fn resource_name(name: &str, version: &str) -> String {
    let text = format!("{name}-{version}").to_ascii_lowercase();
    let kept = text.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    kept.trim_matches(['-', '.']).to_owned()
}

/// Whether the package that is there is of this name and version, and has variants.
fn fits(there: &Value, artefact: &Artefact, resource: &str) -> Result<(), Error> {
    let text = |pointer: &str| there.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let known_as = match text("/spec/packageName") {
        "" => resource,
        name => name,
    };
    let version = text("/spec/version");
    if (known_as, version) != (artefact.name.as_str(), artefact.version.as_str()) {
        return Err(Error::Usage(format!(
            "agentpackage/{resource} is {known_as} {version}, and this is {} {}; give another name with --as",
            artefact.name, artefact.version
        )));
    }
    if !text("/spec/downloadUrl").is_empty() {
        let what = "has one file for all hosts, not one for each kind; give another name with --as";
        return Err(Error::Usage(format!("agentpackage/{resource} {what}")));
    }
    Ok(())
}

fn new_package(
    resource: &str,
    namespace: &str,
    artefact: &Artefact,
    kind: PackageType,
    variant: &Value,
) -> Value {
    let mut spec = json!({
        "packageType": match kind {
            PackageType::TopLevel => "TopLevel",
            PackageType::AddOn => "AddOn",
        },
        "version": artefact.version,
        "variants": [variant],
    });
    if resource != artefact.name {
        spec["packageName"] = json!(artefact.name);
    }
    json!({"kind": "AgentPackage", "apiVersion": "v1", "metadata": {"namespace": namespace, "name": resource}, "spec": spec})
}

/// The package with this variant; nothing if it has it already.
fn extended(there: &Value, variant: &Value, upload: &Upload) -> Result<Option<Value>, Error> {
    let mut body = json!({"metadata": there.get("metadata"), "spec": there.get("spec")});
    let Some(variants) = body.pointer_mut("/spec/variants").and_then(Value::as_array_mut) else {
        let what = "the package that is there has no variants".to_owned();
        return Err(Error::Content { origin: upload.file.display().to_string(), what });
    };
    let same_host = |other: &Value| (&other["os"], &other["arch"]) == (&variant["os"], &variant["arch"]);
    match variants.iter_mut().find(|other| same_host(other)) {
        Some(other) if other == variant => return Ok(None),
        Some(other) if upload.replace => other.clone_from(variant),
        Some(_) => {
            return Err(Error::Usage(
                "the package has another file for these hosts; what changed is a new version, or say --replace".to_owned(),
            ));
        }
        None => variants.push(variant.clone()),
    }
    Ok(Some(body))
}

/// Size and SHA-256 of a file that is not uploaded.
fn hash(path: &Path) -> Result<(u64, String), Error> {
    let mut file = open(path)?;
    let (mut hasher, mut size, mut chunk) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        match file.read(&mut chunk).map_err(|source| Error::Read { path: path.to_owned(), source })? {
            0 => return Ok((size, HEXLOWER.encode(&hasher.finalize()))),
            count => {
                hasher.update(&chunk[..count]);
                size += count as u64;
            }
        }
    }
}

/// Streams a file to the server; its size and SHA-256 as the server has them.
async fn send(client: &Client, path: &Path, signature: Option<&str>) -> Result<(u64, String), Error> {
    let file = open(path)?;
    let size = file.metadata().map_err(|source| Error::Read { path: path.to_owned(), source })?.len();
    let signature = signature.map(|text| BASE64.encode(text.as_bytes()));
    let kept =
        client.upload(&["packagefiles"], file, Progress::new(size), size, signature.as_deref()).await?;
    let sha256 = kept.get("sha256").and_then(Value::as_str).map(str::to_owned);
    let missing = || Error::Answer {
        url: client.server().to_owned(),
        what: "it does not say what was kept of the file".to_owned(),
    };
    Ok((size, sha256.ok_or_else(missing)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_named_by_what_is_in_it() {
        for (name, version, expected) in [
            ("otelcol", "0.150.0", "otelcol-0.150.0"),
            ("Geo_DB", "1.0.0-rc.1+build.5", "geo-db-1.0.0-rc.1-build.5"),
        ] {
            let made = resource_name(name, version);
            assert_eq!(made, expected);
            assert!(manifest::check_name(&made).is_ok());
        }
    }
}
