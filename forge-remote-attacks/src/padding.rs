//! Valid and invalid paddings of RSASSA-PKCS1-v1_5 (RFC 8017 §9.2).

use aws_lc_rs::digest;
use num_bigint::BigUint;

use crate::encoding::der;

/// `SHA-256`'s DigestInfo, without the digest.
pub const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Returns the digest of a message.
pub fn sha256(message: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, message).as_ref().to_vec()
}

/// Returns the only valid encoding of a message.
pub fn pkcs1_sha256(length: usize, message: &[u8]) -> Vec<u8> {
    type1(length, &info(&sha256(message)))
}

/// Returns the DigestInfo of a SHA-256 digest.
fn info(digest: &[u8]) -> Vec<u8> {
    [&SHA256_INFO[..], digest].concat()
}

/// Returns `00 01 FF … FF 00` and the content, as long as the modulus.
pub fn type1(length: usize, content: &[u8]) -> Vec<u8> {
    let filling = length - content.len() - 3;
    [&[0, 1][..], &vec![0xff; filling], &[0], content].concat()
}

/// Returns `00 01 FF … FF 00`, the content, and garbage up to the end.
fn short_padding(length: usize, filling: usize, content: &[u8], rubbish: u8) -> Vec<u8> {
    let mut padded = [&[0, 1][..], &vec![0xff; filling], &[0], content].concat();
    padded.resize(length, rubbish);
    padded
}

/// Returns the DigestInfo with an algorithm's OID.
fn info_of(oid: &[u8], parameters: &[u8], digest: &[u8]) -> Vec<u8> {
    let algorithm = der(0x30, &[&der(0x06, oid), parameters].concat());
    der(0x30, &[algorithm, der(0x04, digest)].concat())
}

const NULL: &[u8] = &[5, 0];
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05];

/// Returns the OID of a hash of the SHA-2 and SHA-3 family: `2.16.840.1.101.3.4.2.N`.
const fn nist(number: u8) -> [u8; 9] {
    [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, number]
}

/// Returns invalid encodings of a message, by name.
#[allow(clippy::too_many_lines, reason = "a table")]
pub fn wrong(length: usize, message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let digest = sha256(message);
    let right = info(&digest);
    let sha256_oid = nist(1);
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    let mut case = |name: &str, padded: Vec<u8>| {
        assert_eq!(padded.len(), length, "{name}");
        cases.push((name.to_owned(), padded));
    };
    let with = |at: usize, byte: u8| {
        let mut padded = pkcs1_sha256(length, message);
        padded[at] = byte;
        padded
    };
    let end = length - right.len();

    // The block itself.
    case("block type 0", with(1, 0));
    case("block type 2", with(1, 2));
    case("block type 255", with(1, 0xff));
    case("leading byte 1 (but below n)", {
        let mut padded = with(0, 0x01);
        padded[1] = 0;
        padded
    });
    case("first filling byte is 0", with(2, 0));
    case("first filling byte is FE", with(2, 0xfe));
    case("middle filling byte is 0", with(length / 2, 0));
    case("middle filling byte is 7F", with(length / 2, 0x7f));
    case("last filling byte is FE", with(end - 2, 0xfe));
    case("separator is 1", with(end - 1, 1));
    case("separator is FF", with(end - 1, 0xff));
    case(
        "filled with zeros",
        [vec![0, 1], vec![0; length - 2 - right.len()], right.clone()].concat(),
    );
    case("filled with random", {
        let mut padded = pkcs1_sha256(length, message);
        for (at, byte) in padded[2..end - 1].iter_mut().enumerate() {
            *byte = u8::try_from(at % 251).unwrap() + 1;
        }
        padded
    });
    case(
        "no separator",
        [vec![0, 1], vec![0xff; end - 2], right.clone()].concat(),
    );
    case("two separators", with(end - 2, 0));
    case(
        "nothing but filling",
        [vec![0, 1], vec![0xff; length - 2]].concat(),
    );
    case("nothing but the DigestInfo at the front", {
        let mut padded = [&[0][..], &right].concat();
        padded.resize(length, 0);
        padded
    });
    case(
        "the digest as a number",
        [vec![0; length - digest.len()], digest.clone()].concat(),
    );

    // Bleichenbacher: the padding is short, and the attacker chooses the remaining bytes.
    for filling in [0, 1, 7, 8, 9, 100] {
        for rubbish in [0, 0x41, 0xff] {
            let name =
                format!("{filling} bytes of filling, then rubbish {rubbish:02x} after the digest");
            case(&name, short_padding(length, filling, &right, rubbish));
        }
    }
    case(
        "one byte after the digest",
        type1(length, &[&right[..], &[0]].concat()),
    );
    case(
        "a NULL after the digest",
        type1(length, &[&right[..], NULL].concat()),
    );
    case("rubbish inside the sequence, after the digest", {
        let algorithm = der(0x30, &[&der(0x06, &sha256_oid), NULL].concat());
        let content = der(
            0x30,
            &[&algorithm[..], &der(0x04, &digest), &[0x41; 32]].concat(),
        );
        type1(length, &content)
    });
    case("rubbish in the parameters", {
        let parameters = der(0x04, &[0x41; 64]);
        type1(length, &info_of(&sha256_oid, &parameters, &digest))
    });
    case("rubbish instead of the filling, in the parameters", {
        let without = info_of(&sha256_oid, &der(0x04, &[0x41; 150]), &digest);
        type1(length, &without)
    });

    // The DigestInfo.
    case("no DigestInfo", type1(length, &digest));
    case(
        "the digest alone in an OCTET STRING",
        type1(length, &der(0x04, &digest)),
    );
    case(
        "the message's digest twice",
        type1(length, &[&digest[..], &digest].concat()),
    );
    case(
        "parameters missing",
        type1(length, &info_of(&sha256_oid, &[], &digest)),
    );
    case(
        "parameters NULL twice",
        type1(length, &info_of(&sha256_oid, &[5, 0, 5, 0], &digest)),
    );
    case(
        "parameters with content in NULL",
        type1(length, &info_of(&sha256_oid, &[5, 1, 0], &digest)),
    );
    case(
        "parameters an empty sequence",
        type1(length, &info_of(&sha256_oid, &[0x30, 0], &digest)),
    );
    case(
        "parameters a BOOLEAN",
        type1(length, &info_of(&sha256_oid, &[1, 1, 0], &digest)),
    );
    case(
        "parameters of another tag",
        type1(length, &info_of(&sha256_oid, &[4, 0], &digest)),
    );
    case(
        "parameters NULL in long form",
        type1(length, &info_of(&sha256_oid, &[5, 0x81, 0], &digest)),
    );
    case("OID missing", {
        let algorithm = der(0x30, NULL);
        type1(
            length,
            &der(0x30, &[algorithm, der(0x04, &digest)].concat()),
        )
    });
    case("OID of another tag", {
        let algorithm = der(0x30, &[&der(0x0d, &sha256_oid), NULL].concat());
        type1(
            length,
            &der(0x30, &[algorithm, der(0x04, &digest)].concat()),
        )
    });
    case(
        "OID with a byte more",
        type1(
            length,
            &info_of(&[&sha256_oid[..], &[1]].concat(), NULL, &digest),
        ),
    );
    case(
        "OID with a byte less",
        type1(length, &info_of(&sha256_oid[..8], NULL, &digest)),
    );
    case(
        "OID not minimal",
        type1(
            length,
            &info_of(
                &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x80, 0x01],
                NULL,
                &digest,
            ),
        ),
    );
    case("digest in a BIT STRING", {
        let algorithm = der(0x30, &[&der(0x06, &sha256_oid), NULL].concat());
        type1(
            length,
            &der(
                0x30,
                &[algorithm, der(0x03, &[&[0], &digest[..]].concat())].concat(),
            ),
        )
    });
    case("a SET instead of a SEQUENCE", {
        let mut content = right.clone();
        content[0] = 0x31;
        type1(length, &content)
    });
    case(
        "length in long form",
        type1(length, &[&[0x30, 0x81, 0x31], &right[2..]].concat()),
    );
    case(
        "length in very long form",
        type1(length, &[&[0x30, 0x82, 0x00, 0x31], &right[2..]].concat()),
    );
    case("inner length in long form", {
        let content = [&[0x30, 0x32, 0x30, 0x81, 0x0d], &right[4..]].concat();
        type1(length, &content)
    });
    case("digest's length in long form", {
        let content = [
            &[0x30, 0x32][..],
            &right[2..17],
            &[0x04, 0x81, 0x20],
            &digest,
        ]
        .concat();
        type1(length, &content)
    });
    case(
        "indefinite length",
        type1(length, &[&[0x30, 0x80], &right[2..], &[0, 0]].concat()),
    );
    case("length one short", {
        let mut content = right.clone();
        content[1] -= 1;
        type1(length, &content)
    });
    case("length one too much", {
        let mut content = right.clone();
        content[1] += 1;
        type1(length, &content)
    });
    case(
        "length of 4 GiB",
        type1(
            length,
            &[&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &right[2..]].concat(),
        ),
    );

    // The digest.
    case(
        "digest without its last byte",
        type1(length, &info_of(&sha256_oid, NULL, &digest[..31])),
    );
    case(
        "digest with a byte more",
        type1(
            length,
            &info_of(&sha256_oid, NULL, &[&digest[..], &[0]].concat()),
        ),
    );
    case(
        "empty digest",
        type1(length, &info_of(&sha256_oid, NULL, &[])),
    );
    case("zero digest", type1(length, &info(&[0; 32])));
    case("digest of nothing", type1(length, &info(&sha256(b""))));
    case(
        "digest of the digest",
        type1(length, &info(&sha256(&digest))),
    );
    case(
        "digest with its last bit turned",
        with(length - 1, digest[31] ^ 1),
    );
    case(
        "digest backwards",
        type1(
            length,
            &info(&digest.iter().rev().copied().collect::<Vec<_>>()),
        ),
    );

    // Other hashes: the SHA-256 digest under their names, and their own digests.
    for (name, number) in [
        ("SHA-384", 2),
        ("SHA-512", 3),
        ("SHA-224", 4),
        ("SHA-512/224", 5),
        ("SHA-512/256", 6),
        ("SHA3-256", 8),
        ("SHAKE-256", 12),
    ] {
        case(
            &format!("this digest under {name}"),
            type1(length, &info_of(&nist(number), NULL, &digest)),
        );
    }
    case(
        "this digest under SHA-1",
        type1(length, &info_of(SHA1, NULL, &digest)),
    );
    case(
        "this digest under MD5",
        type1(length, &info_of(MD5, NULL, &digest)),
    );
    case("this digest under sha256WithRSAEncryption", {
        let oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
        type1(length, &info_of(&oid, NULL, &digest))
    });
    for (name, oid, algorithm) in [
        ("SHA-1", SHA1.to_vec(), &digest::SHA1_FOR_LEGACY_USE_ONLY),
        ("SHA-224", nist(4).to_vec(), &digest::SHA224),
        ("SHA-384", nist(2).to_vec(), &digest::SHA384),
        ("SHA-512", nist(3).to_vec(), &digest::SHA512),
        ("SHA-512/256", nist(6).to_vec(), &digest::SHA512_256),
        ("SHA3-256", nist(8).to_vec(), &digest::SHA3_256),
    ] {
        let other = digest::digest(algorithm, message);
        case(
            &format!("genuine {name}"),
            type1(length, &info_of(&oid, NULL, other.as_ref())),
        );
    }
    cases
}

/// Forges a signature as Bleichenbacher did in 2006: with exponent 3 and a verifier that ignores the bytes after the
/// digest, it is a cube root, which needs no private key.
pub fn cube_root_forgery(length: usize, message: &[u8], filling: usize) -> Vec<u8> {
    let wanted = short_padding(length, filling, &info(&sha256(message)), 0);
    let wanted = BigUint::from_bytes_be(&wanted);
    let mut root = wanted.cbrt();
    if root.pow(3) < wanted {
        root += 1_u8;
    }
    let bytes = root.to_bytes_be();
    [vec![0; length.saturating_sub(bytes.len())], bytes].concat()
}
