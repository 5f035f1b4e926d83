//! The signature, to the last bit.

use num_bigint::BigUint;

use crate::encoding::{b64, der, unb64};
use crate::jws::{parts, with_signature};
use crate::rsa::Scheme;
use crate::{Cases, Scene, padding};

pub(super) fn changed_signature(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
    let [header, payload, signature] = parts(&token);
    let good = unb64(signature);
    let length = good.len();
    let mut changed: Vec<(String, Vec<u8>)> = vec![
        ("empty but there".into(), vec![]),
        ("one zero".into(), vec![0]),
        ("one one".into(), vec![1]),
        ("twice".into(), [&good[..], &good].concat()),
        ("backwards".into(), good.iter().rev().copied().collect()),
        (
            "every bit turned".into(),
            good.iter().map(|byte| !byte).collect(),
        ),
        ("a zero in front".into(), [&[0][..], &good].concat()),
        ("a zero behind".into(), [&good[..], &[0]].concat()),
        ("16 zeros in front".into(), [&[0; 16][..], &good].concat()),
        ("16 zeros behind".into(), [&good[..], &[0; 16]].concat()),
        ("256 zeros behind".into(), [&good[..], &[0; 256]].concat()),
        ("rubbish behind".into(), [&good[..], b"rubbish"].concat()),
        ("in DER".into(), der(0x04, &good)),
        (
            "in a DER bit string".into(),
            der(0x03, &[&[0], &good[..]].concat()),
        ),
        (
            "in hexadecimal".into(),
            good.iter()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect(),
        ),
        ("in base64url twice".into(), signature.as_bytes().to_vec()),
        (
            "halves exchanged".into(),
            [&good[length / 2..], &good[..length / 2]].concat(),
        ),
    ];
    for cut in [1, 2, 8, 128, 200, 255] {
        changed.push((
            format!("{cut} bytes cut off behind"),
            good[..length - cut].to_vec(),
        ));
        changed.push((
            format!("{cut} bytes cut off in front"),
            good[cut..].to_vec(),
        ));
    }
    for bit in (0..length * 8)
        .step_by(61)
        .chain([1, 7, length * 8 - 8, length * 8 - 1])
    {
        let mut turned = good.clone();
        turned[bit / 8] ^= 0x80 >> (bit % 8);
        changed.push((format!("bit {bit} turned"), turned));
    }
    for (name, bytes) in changed {
        cases.rejected(name, || with_signature(&token, bytes));
    }

    // The same for the signed text.
    for (part, text) in [("header", header), ("payload", payload)] {
        let bytes = unb64(text);
        for at in (0..bytes.len()).step_by(bytes.len() / 17) {
            let mut turned = bytes.clone();
            turned[at] ^= 1;
            let token = if part == "header" {
                format!("{}.{payload}.{signature}", b64(turned))
            } else {
                format!("{header}.{}.{signature}", b64(turned))
            };
            cases.rejected(format!("{part}, byte {at} changed"), || token.clone());
        }
    }
    let claims = String::from_utf8(unb64(payload)).unwrap();
    for (name, changed) in [
        ("a blank more", format!("{claims} ")),
        ("exp later", claims.replacen("\"exp\":", "\"exp\":1", 1)),
        (
            "another principal",
            format!("{},\"principal\":\"admin\"}}", &claims[..claims.len() - 1]),
        ),
        (
            "re-ordered",
            serde_json::to_string_pretty(&scene.fit().claims).unwrap(),
        ),
    ] {
        cases.rejected(format!("payload: {name}"), || {
            format!("{header}.{}.{signature}", b64(changed))
        });
    }
}

pub(super) fn other_text(scene: &Scene, cases: &mut Cases) {
    let token = scene.fit().token();
    let [header, payload, _] = parts(&token);
    let other = scene.fit().token();
    let signed = format!("{header}.{payload}");
    for (name, message) in [
        ("nothing", String::new()),
        ("the header", header.to_owned()),
        ("the payload", payload.to_owned()),
        ("the payload's JSON", scene.fit().claims_json()),
        ("without the dot", format!("{header}{payload}")),
        ("with a dot more", format!("{signed}.")),
        ("with a newline", format!("{signed}\n")),
        (
            "decoded",
            format!(
                "{}.{}",
                scene.fit().header_json(),
                scene.fit().claims_json()
            ),
        ),
        ("the payload first", format!("{payload}.{header}")),
    ] {
        let signature = scene.first().rs256(message.as_bytes());
        cases.rejected(name, || with_signature(&token, signature));
    }
    cases.rejected("another token's", || {
        with_signature(&token, unb64(parts(&other)[2]))
    });
    cases.rejected("the digest's", || {
        with_signature(
            &token,
            scene.first().rs256(&padding::sha256(signed.as_bytes())),
        )
    });
    cases.rejected("another key's", || {
        with_signature(&token, scene.second().rs256(signed.as_bytes()))
    });
    if let Some(long) = scene.long() {
        cases.rejected("a longer key's", || {
            with_signature(&token, long.rs256(signed.as_bytes()))
        });
    }
    cases.rejected("the attacker's", || {
        with_signature(&token, scene.stranger().rs256(signed.as_bytes()))
    });
}

pub(super) fn special_number(scene: &Scene, cases: &mut Cases) {
    let key = scene.first();
    let n = &key.n;
    let one = BigUint::from(1_u8);
    let top = BigUint::from(1_u8) << (8 * key.len());
    // A signature to which n can be added within the same number of bytes.
    let (fit, token, s) = (0..1000)
        .map(|_| {
            let fit = scene.fit();
            let token = fit.token();
            let s = BigUint::from_bytes_be(&unb64(parts(&token)[2]));
            (fit, token, s)
        })
        .find(|(_, _, s)| s + n < top)
        .expect("n is below 2^2048, so some s leaves room");
    cases.accepted("s itself is valid", &fit, || token.clone());
    let raw: Vec<(&str, Vec<u8>)> = vec![
        ("zero", vec![0; key.len()]),
        ("one", key.bytes(&one)),
        ("two", key.bytes(&BigUint::from(2_u8))),
        ("n - 1", key.bytes(&(n - &one))),
        ("n", key.bytes(n)),
        ("n + 1", key.bytes(&(n + &one))),
        ("s + n", key.bytes(&(&s + n))),
        ("s + 2n", key.bytes(&(&s + n + n))),
        ("n - s", key.bytes(&(n - &s))),
        ("s · 2 mod n", key.bytes(&(&s * 2_u8 % n))),
        ("s · s mod n", key.bytes(&(&s * &s % n))),
        ("1 / s mod n", key.bytes(&s.modinv(n).unwrap())),
        (
            "s ^ e mod n, the padding itself",
            key.bytes(&s.modpow(&key.e, n)),
        ),
        ("2^2048 - 1", vec![0xff; key.len()]),
        ("2^2047", [&[0x80][..], &vec![0; key.len() - 1]].concat()),
        ("zero to the private exponent", key.raw(&vec![0; key.len()])),
        ("one to the private exponent", key.raw(&key.bytes(&one))),
        (
            "s backwards",
            key.bytes(&BigUint::from_bytes_le(&key.bytes(&s))),
        ),
        ("s without its leading zeros", s.to_bytes_be()[1..].to_vec()),
    ];
    for (name, bytes) in raw {
        cases.rejected(name, || with_signature(&token, bytes));
    }
}

/// s = pᵈ mod n of every wrong padding p, which a lenient verifier would accept.
pub(super) fn wrong_padding(scene: &Scene, cases: &mut Cases) {
    let fit = scene.fit();
    let good = fit.sign_with(|message| {
        scene
            .first()
            .raw(&padding::pkcs1_sha256(scene.first().len(), message))
    });
    cases.accepted("the right padding is valid", &fit, || good.clone());
    let signed = good.rsplit_once('.').unwrap().0.to_owned();
    for (name, padded) in padding::wrong(scene.first().len(), signed.as_bytes()) {
        cases.rejected(name, || with_signature(&good, scene.first().raw(&padded)));
    }
    for scheme in [
        Scheme::Ps256,
        Scheme::Ps384,
        Scheme::Ps512,
        Scheme::Rs384,
        Scheme::Rs512,
    ] {
        let signature = scene.first().sign(scheme, signed.as_bytes());
        cases.rejected(scheme.alg(), || with_signature(&good, signature));
    }
}
